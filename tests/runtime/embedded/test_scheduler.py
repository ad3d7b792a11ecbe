"""The scheduler: whose tasks wait, and whose are started, where tasks have owners."""

from typing import Any

import pytest
from support.journals import new_task

from flowgram_core.embedded.scheduler import Scheduler
from flowgram_core.hosting.errors import TooManyTasks
from flowgram_core.journal.interface import TaskRecord


class Runner:
    """A runner of nothing, which notes that it was started."""

    inputs_size = 0
    started = False

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.record = new_task(task_id).record()

    def start(self) -> None:
        self.started = True


async def _fail(record: TaskRecord, reason: str) -> None:
    raise AssertionError(record, reason)


def scheduler(max_waiting: int) -> Scheduler[Any]:
    """One that runs a single task; the owner of a task is the first letter of its id."""
    return Scheduler(1, max_waiting, 1000, _fail, owner_of=lambda record: record.task_id[0])


def add(made: Scheduler[Any], task_id: str, *, waits: bool = True) -> Runner:
    runner = Runner(task_id)
    made._add(runner, waits=waits)  # type: ignore[arg-type]  # all that it needs
    return runner


def test_tasks_that_wait_are_started_round_robin_by_their_owners() -> None:
    """Within one owner first come, first served."""
    made = scheduler(100)
    waiting = [add(made, task_id) for task_id in ("a1", "a2", "a3", "b1", "c1", "b2")]
    order = []
    for _ in waiting:
        made.start_waiting()
        order += [runner.task_id for runner in waiting if runner.started and runner.task_id not in order]
        made._running = 0
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_one_owner_leaves_places_for_the_next() -> None:
    """It may have as many waiting as are left, as soon as there was another; before all places are its own."""
    made = scheduler(8)
    made.check(0, "b")
    add(made, "a0", waits=False)
    for number in range(1, 5):
        made.check(0, "a")
        add(made, f"a{number}")
    with pytest.raises(TooManyTasks, match="share of max_waiting_tasks"):
        made.check(0, "a")
    made.check(0, "b")
    add(made, "b1")
    add(made, "b2")
    with pytest.raises(TooManyTasks):
        made.check(0, "b")
    made.check(0, "c")
    made.check(0)
    add(made, "c1")
    add(made, "d1")
    with pytest.raises(TooManyTasks, match="max_waiting_tasks are reached"):
        made.check(0, "e")


def test_places_are_kept_for_tasks_that_are_to_be_resumed() -> None:
    """What is new waits for them, or for the news that they do not come."""
    made = scheduler(8)
    made.reserve(1)
    assert made.full
    runner = add(made, "a1")
    made.start_waiting()
    assert not runner.started
    made.release()
    made.start_waiting()
    assert runner.started


def test_one_owner_alone_has_all_places() -> None:
    """A server that knows one namespace only keeps none of its places for others."""
    made = scheduler(8)
    add(made, "a0", waits=False)
    for number in range(1, 9):
        made.check(0, "a")
        add(made, f"a{number}")
    with pytest.raises(TooManyTasks, match="max_running_tasks and max_waiting_tasks"):
        made.check(0, "a")
