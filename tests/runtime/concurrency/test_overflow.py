import asyncio
from contextlib import AsyncExitStack

from flowgram_core.concurrency.overflow import OverflowSemaphore


async def settle() -> None:
    """Lets everything go on that can without time passing."""
    for _ in range(5):
        await asyncio.sleep(0)


async def quick(slots: OverflowSemaphore, key: str, done: list[str]) -> None:
    async with slots.slot(key):
        done.append(key)


async def test_who_holds_for_long_makes_room_for_others() -> None:
    """While all slots are held for long, short work still gets one, as long as the overflow has room."""
    slots, done = OverflowSemaphore(2, overflow=2, long_after=0), list[str]()
    async with asyncio.timeout(10), AsyncExitStack() as held:
        for key in ("stuck 1", "stuck 2", "stuck 3", "stuck 4"):
            await held.enter_async_context(slots.slot(key))
        full = asyncio.create_task(quick(slots, "late", done))
        await settle()
        assert slots.waiting == 1  # two moved, and two more took the slots: there is no room at all
        await held.aclose()
        await full
    assert done == ["late"]


async def test_a_slot_of_the_overflow_is_free_again() -> None:
    """Who leaves the overflow makes room there for the next long holder."""
    slots, done = OverflowSemaphore(1, overflow=1, long_after=0), list[str]()
    async with asyncio.timeout(10), AsyncExitStack() as stuck:
        first = slots.slot("first")
        await first.__aenter__()
        await stuck.enter_async_context(slots.slot("second"))
        third = asyncio.create_task(quick(slots, "third", done))
        await settle()
        assert slots.waiting == 1
        await first.__aexit__(None, None, None)
        await third
    assert (done, slots.waiting) == (["third"], 0)


async def test_who_holds_for_a_moment_only_keeps_its_slot() -> None:
    """A holder that is no long one is waited for, so that the bound holds for short work."""
    slots, done = OverflowSemaphore(1, overflow=1, long_after=3600), list[str]()
    async with slots.slot("holder"):
        waiter = asyncio.create_task(quick(slots, "waiter", done))
        await settle()
        assert (done, slots.waiting) == ([], 1)
    await waiter


async def test_nobody_moves_while_nobody_waits() -> None:
    """Long holders keep to the slots as long as these suffice; a waiter that gives up changes nothing."""
    slots, done = OverflowSemaphore(1, overflow=1, long_after=3600), list[str]()
    async with slots.slot("holder"):
        waiter = asyncio.create_task(quick(slots, "waiter", done))
        await settle()
        waiter.cancel()
        await settle()
        assert slots.waiting == 0
    async with slots.slot("next"):
        assert done == []


async def test_keys_are_served_round_robin() -> None:
    """Slots that long holders leave go to the keys that wait, one after the other."""
    slots, done = OverflowSemaphore(1, overflow=1, long_after=0), list[str]()
    many = [asyncio.create_task(quick(slots, "many", done)) for _ in range(3)]
    one = asyncio.create_task(quick(slots, "one", done))
    async with asyncio.timeout(10), slots.slot("stuck"):
        await asyncio.gather(*many, one)
    assert done.index("one") <= 2
