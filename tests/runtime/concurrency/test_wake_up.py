"""Wake-up calls: an event for one waiter."""

import asyncio

import pytest

from flowgram_core.concurrency.wake_up import WakeUp


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_call_before_the_sleep_is_not_lost() -> None:
    """The next `wait` returns at once, however often `set` was called; the one after it sleeps."""
    wake_up = WakeUp()
    wake_up.set()
    wake_up.set()
    await wake_up.wait()
    sleeping = asyncio.create_task(wake_up.wait())
    await settle()
    assert not sleeping.done()
    wake_up.set()
    await sleeping


async def test_a_sleeper_may_be_cancelled() -> None:
    """Then nobody sleeps, and a call that came meanwhile is kept for the next one."""
    wake_up = WakeUp()
    sleeping = asyncio.create_task(wake_up.wait())
    await settle()
    wake_up.set()
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    await wake_up.wait()
