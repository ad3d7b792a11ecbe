"""Fair scheduling: work that wakes at once lets others run in between, and all of it runs, in order."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.concurrency.fairness import FairScheduler


class FakeTime:
    """A monotonic time that moves only when work says that it takes some."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def compute(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


async def finished_per_iteration(work: list[Callable[[], object]], scheduler: FairScheduler) -> list[int]:
    """How much of some work, all of it woken at once, is done in each iteration of the event loop."""
    done = 0

    async def run(each: Callable[[], object]) -> None:
        nonlocal done
        await scheduler.time_slice()
        each()
        done += 1

    tasks = [asyncio.create_task(run(each)) for each in work]
    counts: list[int] = []
    while done < len(work):
        before = done
        await asyncio.sleep(0)
        counts.append(done - before)
    await asyncio.gather(*tasks)
    return counts


async def test_a_time_slice_without_others_comes_at_once(time: FakeTime) -> None:
    """Nothing is waited for: not even an iteration of the event loop passes."""
    scheduler = FairScheduler(time)

    async def take_two() -> None:
        await scheduler.time_slice()
        await scheduler.time_slice()

    with pytest.raises(StopIteration):
        take_two().send(None)


async def test_others_run_between_the_slices_of_many(time: FakeTime) -> None:
    """Work of 2 ms: three pieces fit into a slice of 5 ms, the third begins in it; then others run."""
    counts = await finished_per_iteration([lambda: time.compute(0.002)] * 20, FairScheduler(time))
    assert max(counts) == 3


async def test_work_longer_than_a_slice_runs_alone(time: FakeTime) -> None:
    """One piece of work that uses up the slice is all that runs in an iteration."""
    counts = await finished_per_iteration([lambda: time.compute(0.006)] * 20, FairScheduler(time))
    assert max(counts) == 1


async def test_few_are_woken_at_once(time: FakeTime) -> None:
    """However little each has to do, an iteration wakes only so many of those that wait."""
    work: list[Callable[[], object]] = [lambda: time.compute(0.006), *([lambda: None] * 500)]
    counts = await finished_per_iteration(work, FairScheduler(time))
    assert max(counts) == 64


async def test_work_runs_in_the_order_in_which_it_came(time: FakeTime) -> None:
    """Also what was woken too late for its slice."""
    order: list[int] = []

    def step(number: int) -> Callable[[], object]:
        def run() -> None:
            time.compute(0.003)
            order.append(number)

        return run

    await finished_per_iteration([step(number) for number in range(20)], FairScheduler(time))
    assert order == list(range(20))


@given(st.lists(st.sampled_from([0.0, 0.001, 0.003, 0.006]), max_size=300))
async def test_work_of_any_lengths_runs_in_order(lengths: list[float]) -> None:
    """However much of what is woken finds the slice used up, nothing overtakes what came before it."""
    time, order = FakeTime(), list[int]()

    def step(number: int, length: float) -> Callable[[], object]:
        def run() -> None:
            time.compute(length)
            order.append(number)

        return run

    await finished_per_iteration(
        [step(number, length) for number, length in enumerate(lengths)], FairScheduler(time)
    )
    assert order == list(range(len(lengths)))


async def test_cancelled_work_holds_nothing_up(time: FakeTime) -> None:
    """Work that is cancelled while it waits is passed over."""
    scheduler, ended = FairScheduler(time), []

    async def step(number: int) -> None:
        await scheduler.time_slice()
        time.compute(0.006)
        ended.append(number)

    steps = [asyncio.create_task(step(number)) for number in range(10)]
    await asyncio.sleep(0)
    for each in steps[3:8]:
        each.cancel()
    await asyncio.gather(*steps, return_exceptions=True)
    assert ended == [0, 1, 2, 8, 9]
