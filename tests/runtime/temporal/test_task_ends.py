"""Those who wait for the end of a task share one long poll."""

import asyncio
from typing import Any

import pytest

pytest.importorskip("temporalio")

from temporalio.api.history.v1 import HistoryEvent

from flowgram_core.hosting.errors import ShuttingDown, TaskNotFound
from flowgram_core.temporal.task_ends import TaskEnds


class Polled:
    """A cluster whose tasks end when the test says so.

    Attributes:
        asked: The tasks and runs that somebody has asked for, in order.
        open: How many long polls are open.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.open = 0
        self._ends: dict[str, asyncio.Future[HistoryEvent]] = {}

    async def closing_event(self, workflow_id: str, run_id: str = "") -> HistoryEvent:
        self.asked.append((workflow_id, run_id))
        self.open += 1
        end = self._ends[workflow_id] = asyncio.get_running_loop().create_future()
        try:
            return await end
        finally:
            self.open -= 1

    def end(self, workflow_id: str, outcome: HistoryEvent | Exception) -> None:
        """Answers the newest long poll for a task."""
        if isinstance(outcome, Exception):
            self._ends[workflow_id].set_exception(outcome)
        else:
            self._ends[workflow_id].set_result(outcome)


async def settle() -> None:
    """Lets everybody run who can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def waiting(ends: TaskEnds, *workflow_ids: str) -> list[Any]:
    """Tasks that wait for these ends."""
    found = [asyncio.create_task(ends.closing_event(workflow_id)) for workflow_id in workflow_ids]
    await settle()
    return found


async def test_one_long_poll_for_all_who_wait() -> None:
    """Each task has its own; who comes after the end asks anew."""
    cluster = Polled()
    ends = TaskEnds(cluster)
    found = await waiting(ends, "a", "a", "b", "a")
    assert cluster.asked == [("a", ""), ("b", "")]
    cluster.end("a", HistoryEvent(event_id=5))
    assert [(await found[index]).event_id for index in (0, 1, 3)] == [5, 5, 5]
    assert cluster.open == 1
    (again,) = await waiting(ends, "a")
    assert cluster.asked[2:] == [("a", "")]
    cluster.end("a", HistoryEvent(event_id=5))
    cluster.end("b", HistoryEvent(event_id=7))
    assert [(await task).event_id for task in (again, found[2])] == [5, 7]
    assert cluster.open == 0


async def test_it_ends_with_the_last_who_waits() -> None:
    """One who leaves changes nothing for the others."""
    cluster = Polled()
    first, second = await waiting(TaskEnds(cluster), "a", "a")
    first.cancel()
    await settle()
    assert (first.cancelled(), cluster.open) == (True, 1)
    second.cancel()
    await settle()
    assert (second.cancelled(), cluster.open) == (True, 0)


async def test_errors_are_for_all_who_wait_now() -> None:
    """The next one asks the cluster again."""
    cluster = Polled()
    ends = TaskEnds(cluster)
    found = await waiting(ends, "a", "a")
    cluster.end("a", TaskNotFound("a"))
    for task in found:
        with pytest.raises(TaskNotFound):
            await task
    (later,) = await waiting(ends, "a")
    cluster.end("a", HistoryEvent(event_id=3))
    assert (await later).event_id == 3


async def test_the_run_that_began_here_is_named() -> None:
    """Of the last thousand tasks; others are looked up by the cluster."""
    cluster = Polled()
    ends = TaskEnds(cluster)
    for number in range(1_001):
        ends.began(f"t{number}", f"run {number}")
    found = await waiting(ends, "t0", "t1", "t1000")
    assert cluster.asked == [("t0", ""), ("t1", "run 1"), ("t1000", "run 1000")]
    for task in found:
        task.cancel()
    await settle()


async def test_a_run_that_is_gone_is_not_asked_for_again() -> None:
    """The task may have been begun anew by another server."""
    cluster = Polled()
    ends = TaskEnds(cluster)
    ends.began("a", "first")
    (found,) = await waiting(ends, "a")
    cluster.end("a", TaskNotFound("a"))
    await settle()
    cluster.end("a", HistoryEvent(event_id=4))
    assert (await found).event_id == 4
    (again,) = await waiting(ends, "a")
    assert cluster.asked == [("a", "first"), ("a", ""), ("a", "")]
    again.cancel()
    await settle()


async def test_a_service_that_ends_lets_nobody_wait() -> None:
    """Neither those who do, nor those who come."""
    cluster = Polled()
    ends = TaskEnds(cluster)
    found = await waiting(ends, "a", "a", "b")
    ends.close()
    for task in (*found, *await waiting(ends, "a")):
        with pytest.raises(ShuttingDown):
            await task
    await settle()
    assert (cluster.open, len(cluster.asked)) == (0, 2)
