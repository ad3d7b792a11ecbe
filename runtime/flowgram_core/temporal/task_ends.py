"""The ends of tasks: one long poll for each task that is waited for here, however many wait for it."""

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

from temporalio.api.history.v1 import HistoryEvent

from flowgram_core.hosting.errors import TaskNotFound

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
        """
        poll = self._polls.get(workflow_id)
        if poll is None or poll.asking.done():
            asking = asyncio.create_task(self._ask(workflow_id), name=f"end of {workflow_id}")
            poll = self._polls[workflow_id] = _Poll(asking)
        poll.waiting += 1
        try:
            return await asyncio.shield(poll.asking)
        finally:
            poll.waiting -= 1
            if not poll.waiting:
                poll.asking.cancel()
                if self._polls.get(workflow_id) is poll:
                    del self._polls[workflow_id]

    async def _ask(self, workflow_id: str) -> HistoryEvent:
        run_id = self._first_runs.get(workflow_id)
        if run_id is not None:
            try:
                return await self._cluster.closing_event(workflow_id, run_id)
            except TaskNotFound:  # that run was removed; the same request may have come again elsewhere
                self._first_runs.pop(workflow_id, None)
        return await self._cluster.closing_event(workflow_id)


class _Poll:
    def __init__(self, asking: "asyncio.Task[HistoryEvent]") -> None:
        self.asking = asking
        self.waiting = 0
