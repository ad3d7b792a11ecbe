"""The collaborators that all tasks of the embedded host share."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.embedded.memory_budget import MemoryBudget
from flowgram_core.embedded.storage import StorageBudget
from flowgram_core.embedded.uptime import Uptime
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskChangeLog
from flowgram_core.journal.interface import Journal
from flowgram_core.journal.work_register import WorkRegister
from flowgram_core.modeling.json_text import JSONObject


@dataclass(frozen=True, slots=True)
class Services:
    """What a `TaskRunner` works with.

    Attributes:
        memory: What all tasks hold.
        threads: For node runs that take long.
        pins: The settings pinned to the tasks, as their first activation records them.
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
    threads: ThreadPoolExecutor
    pins: JSONObject | None
