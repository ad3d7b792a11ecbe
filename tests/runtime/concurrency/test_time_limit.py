"""Time limits of blocks: what `asyncio.timeout` does, by a clock."""

import asyncio

import pytest
from support.fakes import FakeClock

from flowgram_core.concurrency.time_limit import TimeLimit


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


async def test_a_block_that_takes_too_long_ends_with_a_timeout_error() -> None:
    """What it waits for is cancelled, and its task goes on."""
    clock = FakeClock()
    limit = TimeLimit(clock.call_later, 5)

    async def limited() -> str:
        try:
            with limit:
                await _for_ever()
        except TimeoutError:
            await asyncio.sleep(0)  # it is not cancelled any more
            return "ended"
        return "went on"

    task = asyncio.create_task(limited())
    await clock.sleeping()
    clock.advance(4.9)
    assert not limit.is_over
    clock.advance(0.2)
    assert await task == "ended"
    assert limit.is_over
    assert not task.cancelling()


async def test_a_block_that_ends_in_time_leaves_nothing_behind() -> None:
    """Its timer is cancelled."""
    clock = FakeClock()
    with TimeLimit(clock.call_later, 5) as nothing:
        await asyncio.sleep(0)
    assert nothing is None
    clock.advance(10)
    await asyncio.sleep(0)


async def test_an_error_of_the_block_is_its_own() -> None:
    """Also a `TimeoutError` that has nothing to do with the limit."""
    limit = TimeLimit(FakeClock().call_later, 5)
    with pytest.raises(TimeoutError, match="another one"), limit:
        raise TimeoutError("another one")
    assert not limit.is_over


async def test_a_task_that_others_cancel_as_well_stays_cancelled() -> None:
    """A cancellation from outside is never taken for the time-out."""
    clock = FakeClock()

    async def limited() -> None:
        with TimeLimit(clock.call_later, 5):
            await _for_ever()

    task = asyncio.create_task(limited())
    await clock.sleeping()
    clock.advance(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_the_inner_of_two_limits_ends_its_block_only() -> None:
    """They can be nested."""
    clock = FakeClock()

    async def limited() -> str:
        with TimeLimit(clock.call_later, 10):
            try:
                with TimeLimit(clock.call_later, 5):
                    await _for_ever()
            except TimeoutError:
                return "the inner one"
        return "none"

    task = asyncio.create_task(limited())
    await clock.sleeping()
    clock.advance(5)
    assert await task == "the inner one"


async def test_by_the_clock_of_the_loop() -> None:
    """Without another clock, the event loop measures the time."""
    with pytest.raises(TimeoutError), TimeLimit(asyncio.get_running_loop().call_later, 0):
        await _for_ever()
