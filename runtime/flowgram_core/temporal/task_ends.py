"""The ends of tasks: one long poll for each task that is waited for here, however many wait for it."""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any, Final, Protocol

from temporalio.api.history.v1 import HistoryEvent

from flowgram_core.hosting.errors import ShuttingDown, TaskNotFound

_REMEMBERED_RUNS: Final = 1_000


class Closings(Protocol):
    """Where the ends of workflows are known."""

    async def closing_event(self, workflow_id: str, run_id: str = "") -> HistoryEvent:
        """See `Cluster`."""
        ...


class TaskEnds:
    """Waits for the ends of tasks.

    Args:
        cluster: Knows them.
    """

    def __init__(self, cluster: Closings) -> None:
        self._cluster = cluster
        self._polls: dict[str, _Poll] = {}
        self._first_runs: OrderedDict[str, str] = OrderedDict()
        self._closed = False

    def began(self, workflow_id: str, run_id: str) -> None:
        """A task was started here. Most are waited for where they were: with the run, the cluster finds it by one read less."""
        self._first_runs[workflow_id] = run_id
        if len(self._first_runs) > _REMEMBERED_RUNS:
            self._first_runs.popitem(last=False)

    async def closing_event(self, workflow_id: str) -> HistoryEvent:
        """The event that ends a task. The long poll ends with the last who waits.

        Raises:
            TaskNotFound: There is no such task.
            JournalUnavailable: The cluster cannot be asked at the moment.
            ShuttingDown: The service ends before the task.
        """
        if self._closed:
            raise ShuttingDown
        poll = self._polls.get(workflow_id)
        if poll is None or poll.outcome.done():
            poll = self._polls[workflow_id] = _Poll(self._ask(workflow_id))
        poll.waiting += 1
        try:
            return await asyncio.shield(poll.outcome)
        finally:
            poll.waiting -= 1
            if not poll.waiting:
                poll.asking.cancel()
                if self._polls.get(workflow_id) is poll:
                    del self._polls[workflow_id]

    def close(self) -> None:
        """Ends all waiting."""
        self._closed = True
        for poll in self._polls.values():
            if not poll.outcome.done():
                poll.outcome.set_exception(ShuttingDown())

    async def _ask(self, workflow_id: str) -> HistoryEvent:
        run_id = self._first_runs.get(workflow_id)
        if run_id is not None:
            try:
                return await self._cluster.closing_event(workflow_id, run_id)
            except TaskNotFound:  # that run was removed; the same request may have come again elsewhere
                self._first_runs.pop(workflow_id, None)
        return await self._cluster.closing_event(workflow_id)


class _Poll:
    """A long poll, and its outcome, for all that wait for it."""

    def __init__(self, asking: Coroutine[Any, Any, HistoryEvent]) -> None:
        self.outcome: asyncio.Future[HistoryEvent] = asyncio.get_running_loop().create_future()
        self.asking = asyncio.create_task(asking, name="end of a task")
        self.asking.add_done_callback(self._asked)
        self.waiting = 0

    def _asked(self, asking: "asyncio.Task[HistoryEvent]") -> None:
        if asking.cancelled() or self.outcome.done():
            return
        error = asking.exception()
        if error is None:
            self.outcome.set_result(asking.result())
        else:
            self.outcome.set_exception(error)
