"""Adaptive batching: under load requests proceed in batches; a lone one never waits."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.concurrency.batching import AdaptiveBatcher, BatchPolicy


class Requests:
    """Requests to a batcher: which have started, in which order, and which have ended."""

    def __init__(self) -> None:
        self.batcher = AdaptiveBatcher()
        self.started: list[int] = []
        self._completed: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def submit(self, *numbers: int) -> None:
        """Some come in, one right after the other."""
        for number in numbers:
            self._completed[number] = asyncio.Event()
            self._tasks[number] = asyncio.create_task(self._process(number))
        await settle()

    async def complete(self, *numbers: int) -> None:
        """Some have been processed."""
        for number in numbers:
            self._completed[number].set()
        await asyncio.gather(*(self._tasks.pop(number) for number in numbers))

    async def cancel(self, number: int) -> None:
        """One is cancelled, whether it has started or not."""
        task = self._tasks.pop(number)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def _process(self, number: int) -> None:
        async with self.batcher:
            self.started.append(number)
            await self._completed[number].wait()


async def settle() -> None:
    """Lets everybody run who can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def requests() -> Requests:
    return Requests()


async def peak_of_eight(requests: Requests) -> None:
    """Eight have been in flight at once, and have ended."""
    await requests.submit(*range(8))
    await asyncio.wait_for(requests.complete(*range(8)), 5)
    requests.started.clear()


async def test_a_lone_request_never_waits() -> None:
    """One after the other: not even an iteration of the event loop passes."""
    batcher = AdaptiveBatcher()
    for _ in range(100):
        entering = batcher.__aenter__()
        with pytest.raises(StopIteration):
            entering.send(None)
        await batcher.__aexit__(None, None, None)


async def test_requests_wait_for_a_batch_after_a_peak(requests: Requests) -> None:
    """The first ones wait; with the one that makes them half of the peak they all start, in their order."""
    await peak_of_eight(requests)
    await requests.submit(8)
    await requests.submit(9)
    assert requests.started == []
    await requests.submit(10, 11)
    assert requests.started == [8, 9, 10, 11]


async def test_a_batch_starts_after_its_delay(requests: Requests) -> None:
    """Where no other request comes, those that wait start nevertheless, and soon none waits any more."""
    await peak_of_eight(requests)
    for number in range(8, 16):
        await requests.submit(number)
        await asyncio.wait_for(requests.complete(number), 5)
    await requests.submit(16)
    assert requests.started == [*range(8, 17)]


async def test_cancelled_requests_hold_nothing_up(requests: Requests) -> None:
    """Cancelled while they wait, or while they are processed, they count no longer."""
    await peak_of_eight(requests)
    await requests.submit(8, 9, 10)
    await requests.cancel(9)
    await requests.submit(11)
    assert requests.started == [8, 10, 11]
    await requests.cancel(10)
    await requests.complete(8, 11)
    await test_a_lone_request_never_waits()


async def test_a_failed_request_has_ended(requests: Requests) -> None:
    """It is in flight no longer: the next request does not wait for a batch."""
    for _ in range(20):
        with pytest.raises(ValueError, match="mistake"):
            async with requests.batcher:
                raise ValueError("mistake")
    await requests.submit(1)
    assert requests.started == [1]


def batches(in_flight: int, iterations: int) -> Iterator[int]:
    """The sizes of the batches, where so many requests come again as soon as they were processed, which takes one iteration."""
    policy, waiting, processing = BatchPolicy(), 0, 0
    coming = in_flight
    for _ in range(iterations):
        waiting += coming
        coming = 0
        policy.observe(waiting + processing)
        if waiting and policy.is_ready(waiting):
            policy.batch_started(timed_out=False)
            yield waiting
            coming, processing, waiting = processing, waiting, 0
        else:
            coming, processing = processing, 0


@given(st.integers(1, 100))
def test_no_batch_waits_for_requests_that_are_being_processed(in_flight: int) -> None:
    """However many there are, a batch starts in every other iteration: none waits for more than all there are."""
    sizes = list(batches(in_flight, 200))
    assert len(sizes) >= 100
    assert all(1 <= size <= in_flight for size in sizes)


@pytest.mark.parametrize("in_flight", [1, 2, 3, 8, 16])
def test_a_batch_is_half_of_the_peak(in_flight: int) -> None:
    """Half of what has been in flight starts; one request fewer does not, unless the batch is large."""
    policy = BatchPolicy()
    policy.observe(in_flight)
    ready = [size for size in range(1, in_flight + 1) if policy.is_ready(size)]
    assert ready[0] == -(-in_flight // 2)
    assert all(after == before + 1 for before, after in pairwise(ready))


def test_sixteen_are_always_a_batch() -> None:
    """However high the peak: larger batches gain nothing."""
    policy = BatchPolicy()
    policy.observe(10_000)
    assert policy.is_ready(16)
    assert not policy.is_ready(15)


def test_a_peak_is_forgotten() -> None:
    """With every batch that starts, fewer requests are waited for; soon, where batches start by time-out."""
    policy = BatchPolicy()
    policy.observe(30)
    policy.batch_started(timed_out=False)
    assert policy.is_ready(15)
    for _ in range(28):
        policy.batch_started(timed_out=True)
    assert policy.is_ready(1)


def test_few_wait_for_others_a_short_time_only() -> None:
    """A batch that is not ready starts after a millisecond for each request in flight, and after ten in any case."""
    policy = BatchPolicy()
    delays = []
    for in_flight in (1, 3, 1000):
        policy.observe(in_flight)
        delays.append(policy.delay)
    assert delays == [0.001, 0.003, 0.010]
