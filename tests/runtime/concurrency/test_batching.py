"""Adaptive batching: under load requests proceed in batches; a lone one never waits."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.concurrency.batching import BatchPolicy


def batches(in_flight: int, iterations: int) -> Iterator[int]:
    """The sizes of the batches, where so many requests come again as soon as they were processed, which takes one iteration."""
    policy, waiting, processing = BatchPolicy(), 0, 0
    coming = in_flight
    for _ in range(iterations):
        waiting += coming
        coming = 0
        policy.observe(waiting + processing)
        if waiting and policy.is_ready(waiting):
            policy.batch_started(waiting, timed_out=False)
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


@pytest.mark.parametrize("in_flight", [1, 2, 5, 8, 16])
def test_a_batch_is_half_of_the_peak(in_flight: int) -> None:
    """Half of what has been in flight starts; one request fewer does not, unless the batch is large."""
    policy = BatchPolicy()
    policy.observe(in_flight)
    ready = [size for size in range(1, in_flight + 1) if policy.is_ready(size)]
    assert ready[0] == -(-in_flight // 2)
    assert all(after == before + 1 for before, after in pairwise(ready))


@pytest.mark.parametrize("in_flight", [1, 2, 3, 4])
def test_where_few_are_in_flight_none_waits(in_flight: int) -> None:
    """To wait for the second one would take longer than the batch saves."""
    policy = BatchPolicy()
    policy.observe(in_flight)
    assert policy.is_ready(1)


def test_sixteen_are_always_a_batch() -> None:
    """However high the peak: larger batches gain nothing."""
    policy = BatchPolicy()
    policy.observe(10_000)
    assert policy.is_ready(16)
    assert not policy.is_ready(15)


def test_a_peak_is_forgotten() -> None:
    """With every batch that starts, fewer requests are waited for; sooner, where batches start by time-out."""
    policy = BatchPolicy()
    policy.observe(30)
    policy.batch_started(15, timed_out=False)
    assert policy.is_ready(15)
    policy.batch_started(14, timed_out=True)
    assert policy.is_ready(15)
    for _ in range(14):
        policy.batch_started(10, timed_out=True)
    assert policy.is_ready(8)


@pytest.mark.parametrize("in_flight", [100, 100_000])
def test_whatever_the_load_was_the_few_after_it_soon_wait_for_nothing(in_flight: int) -> None:
    """After a peak of any height three batches start by time-out, the last one of them early; the next ones do not wait."""
    policy, delays = BatchPolicy(), []
    policy.observe(in_flight)
    while not policy.is_ready(1):
        delays.append(policy.delay)
        policy.batch_started(1, timed_out=True)
        policy.observe(1)
    assert delays == [0.010, 0.010, 0.008]


def test_few_wait_for_others_a_short_time_only() -> None:
    """A batch that is not ready starts after a millisecond for each request in flight, and after ten in any case."""
    policy = BatchPolicy()
    delays = []
    for in_flight in (1, 3, 1000):
        policy.observe(in_flight)
        delays.append(policy.delay)
    assert delays == [0.001, 0.003, 0.010]
