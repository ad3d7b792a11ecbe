"""Changes of tasks, found by polling: the cluster's visibility store pushes none.

It is asked only while somebody watches, for the workflows that began or ended lately. Tasks that the cluster removes are not
noticed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.supervision import retry_delays, run_forever
from flowgram_core.hosting.task_changes import TaskChangeLog, TaskChanges, TaskFilter
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.status import Status

_log = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
_OVERLAP: Final = 10_000_000
"""Microseconds before the last poll that are looked at again: the store is behind, and clocks differ."""


class TaskPoll:
    """Watches of tasks that share one poll.

    Args:
        changed_since: The tasks that began or ended at a time or after it.
        clock: Tells the time.
        check_open: Raises an error when the service ends.
    """

    def __init__(
        self,
        changed_since: Callable[[int], Awaitable[Sequence[TaskRecord]]],
        clock: Clock,
        check_open: Callable[[], None],
    ) -> None:
        self._changed_since = changed_since
        self._clock = clock
        self._changes = TaskChangeLog(clock, check_open)
        self._watchers = 0
        self._polling: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Wakes all watchers, to check the state of the service."""
        self._changes.wake()

    async def watch(self, wanted: TaskFilter, heartbeat: float | None) -> AsyncGenerator[TaskChanges, None]:
        """See `TaskService.watch_tasks`."""
        async with self._polled(), aclosing(self._changes.watch(wanted, heartbeat)) as items:
            async for changes in items:
                yield changes

    @asynccontextmanager
    async def _polled(self) -> AsyncIterator[None]:
        self._watchers += 1
        if self._polling is None:
            self._polling = asyncio.create_task(run_forever("the poll of tasks", self._poll, self._clock))
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._polling.cancel()
                self._polling = None

    async def _poll(self) -> None:
        since = self._clock.now() - _OVERLAP
        known: dict[str, int] = {}  # the statuses of the tasks that the poll before found
        delays = retry_delays()
        while True:
            now = self._clock.now()
            try:
                found = await self._changed_since(since)
            except JournalUnavailable as error:  # what happens meanwhile is found later
                _log.warning("changes of tasks cannot be asked for: %s", error)
                await self._clock.sleep(next(delays))
                continue
            delays = retry_delays()
            for record in found:
                former = known.get(record.task_id)
                if former is None and record.ended:
                    former = Status.PROCESSING  # it ran before it ended, and may have been watched for that
                self._changes.changed(record, former)
            known = {record.task_id: record.status for record in found}
            since = now - _OVERLAP
            await self._clock.sleep(_INTERVAL)
