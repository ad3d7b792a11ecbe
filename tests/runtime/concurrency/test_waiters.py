"""Waiters: who sleeps is woken, all at once or gently, and never forgotten."""

import asyncio

from support.fakes import FakeClock

from flowgram_core.concurrency.waiters import Waiters

MANY = 50


async def settle() -> None:
    """Lets everybody react who has something to react to."""
    for _ in range(10):
        await asyncio.sleep(0)


async def sleeping(waiters: Waiters, clock: FakeClock, count: int) -> list[asyncio.Task[bool]]:
    tasks = [asyncio.create_task(waiters.wait(clock)) for _ in range(count)]
    await settle()
    return tasks


async def test_all_are_woken_together() -> None:
    """However many there are, without any time passing."""
    clock, waiters = FakeClock(), Waiters()
    tasks = await sleeping(waiters, clock, 250)
    waiters.wake()
    assert all(await asyncio.gather(*tasks))


async def test_many_are_woken_gently_a_few_at_a_time() -> None:
    """The first at once, the next ones as time passes; one that falls asleep again waits for the next call."""
    clock, waiters = FakeClock(), Waiters()
    tasks = await sleeping(waiters, clock, MANY)
    waiters.wake_gently(clock)
    await settle()
    first = sum(task.done() for task in tasks)
    assert 0 < first < MANY
    (again,) = await sleeping(waiters, clock, 1)
    clock.advance(0.01)
    await settle()
    assert first < sum(task.done() for task in tasks) < MANY
    clock.advance(1)
    assert all(await asyncio.gather(*tasks))
    assert not again.done()
    waiters.wake_gently(clock)
    assert await again


async def test_what_is_urgent_does_not_wait_for_what_is_gentle() -> None:
    """A server that ends wakes those as well whose turn has not come."""
    clock, waiters = FakeClock(), Waiters()
    tasks = await sleeping(waiters, clock, MANY)
    waiters.wake_gently(clock)
    waiters.wake()
    assert all(await asyncio.gather(*tasks))
    clock.advance(1)


async def test_a_time_limit_is_told_from_being_woken() -> None:
    """Which of both it was decides whether there is something new."""
    clock, waiters = FakeClock(), Waiters()
    task = asyncio.create_task(waiters.wait(clock, 5))
    await settle()
    clock.advance(5)
    assert not await task
