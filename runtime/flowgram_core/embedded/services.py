"""The collaborators that all tasks of the embedded host share."""

from dataclasses import dataclass, field

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fair_threads import FairThreads
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.embedded.disposer import Disposer
from flowgram_core.embedded.memory_budget import MemoryBudget
from flowgram_core.embedded.recently_ended import RecentlyEnded
from flowgram_core.embedded.storage import StorageBudget
from flowgram_core.embedded.uptime import Uptime
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.observation import Observer
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskChangeLog
from flowgram_core.journal.interface import Journal, TaskRecord
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.modeling.json_text import JSONObject


@dataclass(frozen=True, slots=True)
class Services:
    """What a `TaskRunner` works with.

    Attributes:
        memory: What all tasks hold.
        threads: For node runs that take long.
        pins: The settings pinned to the tasks, as their first activation records them.
        disposer: Frees what large tasks have held.
        recently_ended: The tasks that ended last.
        observer: Is notified of what tasks do, where somebody wants to know.
    """

    journal: Journal
    codec: Codec
    clock: Clock
    caller: Caller
    secrets: Secrets
    fairness: FairScheduler
    uptime: Uptime
    register: WorkRegister
    task_changes: TaskChangeLog
    storage: StorageBudget
    settings: RuntimeSettings
    memory: MemoryBudget
    threads: FairThreads
    pins: JSONObject | None
    observer: Observer | None = None
    disposer: Disposer = field(default_factory=Disposer)
    recently_ended: RecentlyEnded = field(default_factory=RecentlyEnded)

    def changed(self, record: TaskRecord, former: int | None) -> None:
        """Notifies all observers that a task has another status, and is durable in it.

        Args:
            record: The task as it is now.
            former: Its status before; None for a task that was just accepted.
        """
        if self.task_changes.watchers:
            self.task_changes.changed(record, former)
        if self.observer is not None and former != record.status:
            if former is None:
                self.observer.accepted()
            if record.ended:
                self.observer.ended(record.status, ((record.end_time or 0) - record.create_time) / 1e6)
