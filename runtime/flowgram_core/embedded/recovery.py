"""Recovery: rebuilds unfinished tasks after a restart, one after the other, while new tasks are served.

A task that cannot be rebuilt is ended as FAILED; one that cannot be read at the moment is retried. A task is parked, which
ends it as FAILED too, when so many processes in a row died while they worked on it: else it would end every process to come.
Tasks with any such death come last. Otherwise they come round-robin from the namespaces, so that nobody waits for all tasks of another.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.embedded.failing import fail_task
from flowgram_core.embedded.replay import Diverged, Replayer
from flowgram_core.embedded.scheduler import Scheduler
from flowgram_core.embedded.services import Services
from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.hosting.program_cache import ProgramCache
from flowgram_core.journal.errors import JournalDamaged, JournalError, JournalUnavailable
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.status import Status

_log = logging.getLogger(__name__)

_PAGE: Final = 1000


class Recovery:
    """Rebuilds the unfinished tasks, and hands them to the scheduler."""

    def __init__(
        self, program_cache: ProgramCache, services: Services, scheduler: Scheduler[TaskRunner]
    ) -> None:
        self._services = services
        self._scheduler = scheduler
        self._replayer = Replayer(program_cache, services)
        self._crashes: Mapping[str, int] = {}
        self._pending: dict[str, TaskRecord] = {}  # without inputs, in the order in which they are rebuilt
        self._pending_of: Counter[str] = Counter()  # by namespace
        self._failed: list[TaskRecord] = []  # to be retried
        self._settled: dict[str, asyncio.Future[None]] = {}  # of the tasks that somebody waits for
        self._idle = asyncio.Event()
        self._stopped = False

    async def begin(self) -> None:
        """Finds out which tasks there are to rebuild, and which of them were being worked on when a process died.

        Raises:
            JournalUnavailable: The unfinished tasks cannot be listed.
        """
        self._crashes = await self._count_crashes()
        found: list[TaskRecord] = []
        after = 0
        while records := await self._services.journal.unfinished(after=after, limit=_PAGE):
            found += records
            after = records[-1].order
        self._pending = {record.task_id: record for record in self._in_order(found)}
        self._pending_of = Counter(record.namespace for record in found)
        self._scheduler.reserve(sum(map(self._reserves, found)))

    def _in_order(self, found: Sequence[TaskRecord]) -> list[TaskRecord]:
        """Tasks in the order in which they are rebuilt: those with crashes last; otherwise round-robin from the namespaces, oldest first."""
        before: Counter[str] = Counter()
        order: dict[str, tuple[int, int]] = {}
        for record in found:
            order[record.task_id] = self._crashes.get(record.task_id, 0), before[record.namespace]
            before[record.namespace] += 1
        return sorted(found, key=lambda record: order[record.task_id])

    async def run(self) -> None:
        """Rebuilds all tasks and resumes them, then retries those for which that failed, with backoff."""
        while self._pending and not self._stopped:
            task_id = next(iter(self._pending))
            record = self._pending[task_id]
            if not await self._resume(record):
                self._failed.append(record)
            del self._pending[task_id]
            self._pending_of[record.namespace] -= 1
            if self._reserves(record):
                self._scheduler.release()
            self._scheduler.start_waiting()
            self._settle(task_id)
        self._idle.set()
        delays = retry_delays()
        while self._failed and not self._stopped:
            await self._services.clock.sleep(next(delays))
            self._failed = [record for record in self._failed if not await self._resume(record)]
            self._scheduler.start_waiting()
        self._replayer.forget()

    def tasks_of(self, namespace: str) -> int:
        """How many tasks of a namespace are still to be rebuilt."""
        return self._pending_of[namespace]

    def awaits(self, task_id: str) -> bool:
        """Whether a task is still to be rebuilt."""
        return task_id in self._pending and not self._stopped

    async def settled(self, task_id: str) -> None:
        """Returns once a task was rebuilt, or failed to be; at once if it is not pending. Also when recovery stops."""
        if self.awaits(task_id):
            settled = self._settled.get(task_id)
            if settled is None:
                settled = self._settled[task_id] = asyncio.get_running_loop().create_future()
            await asyncio.shield(settled)

    async def completed(self) -> None:
        """Returns once each unfinished task was rebuilt, or failed to be."""
        await self._idle.wait()

    def stop(self) -> None:
        """Rebuilds nothing any more."""
        self._stopped = True
        self._replayer.stop()
        self._idle.set()
        for task_id in list(self._settled):
            self._settle(task_id)

    def _settle(self, task_id: str) -> None:
        settled = self._settled.pop(task_id, None)
        if settled is not None and not settled.done():
            settled.set_result(None)

    def _reserves(self, record: TaskRecord) -> bool:
        """Whether a task gets a slot before new tasks do."""
        return record.status == Status.PROCESSING and record.task_id not in self._crashes

    async def _count_crashes(self) -> Mapping[str, int]:
        register = self._services.register
        try:
            return await self._services.journal.record_crashes(register.crashed, register.session)
        except JournalError:
            _log.exception("which tasks the former process was working on cannot be recorded")
            return {}

    async def _resume(self, record: TaskRecord) -> bool:
        """Resumes a task, or fails it; False if neither is possible for now."""
        try:
            runner = await self._rebuild(record.task_id)
            if runner is not None:
                self._scheduler.resume(runner)
        except Exception:  # noqa: BLE001 - one task's error must not stop the others
            if not self._stopped:  # a stop ends replays with errors
                _log.exception("a task cannot continue for now", extra={"task_id": record.task_id})
            return False
        return True

    async def _rebuild(self, task_id: str) -> TaskRunner | None:
        """The runner of a task; None if there is nothing to run: it has ended, or is ended here as FAILED."""
        services = self._services
        try:
            record = await services.journal.task(task_id)
        except JournalDamaged as error:
            _log.error("a task is left alone: %s", error, extra={"task_id": task_id})
            return None
        if record is None or record.ended:
            return None
        crashes, limit = self._crashes.get(task_id, 0), services.settings.max_crashes
        if limit and crashes >= limit:
            reason = (
                f"Task was parked: {crashes} processes in a row died while they worked on it"
                f" (limit max_crashes = {limit})"
            )
            _log.error("a task is parked: it ended %d processes", crashes, extra={"task_id": task_id})
        else:
            try:
                return await self._replayer.runner(record)
            except Diverged as error:
                _log.error("a task cannot be rebuilt: %s", error, extra={"task_id": task_id})
                reason = str(error)
            except JournalDamaged:
                _log.exception("the log of a task is damaged", extra={"task_id": task_id})
                reason = "its log is damaged"
            except JournalUnavailable:
                raise
            except Exception:
                if self._stopped:
                    raise
                _log.exception("a task cannot be rebuilt", extra={"task_id": task_id})
                reason = "internal error"
            reason = f"Task cannot go on after a restart: {reason}"
        failed = await fail_task(record, reason, services.journal, services.codec, services.clock)
        services.changed(failed, record.status)
        return None
