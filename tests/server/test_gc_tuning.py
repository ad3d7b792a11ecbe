"""Garbage collection: while much is in memory, only what came since the last look is looked at."""

import asyncio
import gc
import weakref

from support.fakes import FakeClock

from flowgram_server import gc_tuning
from flowgram_server.gc_tuning import tuned_gc


class Knot:
    """Garbage that only a full collection finds once it is old."""

    def __init__(self) -> None:
        self.itself = self


def old_garbage() -> "weakref.ref[Knot]":
    knot = Knot()
    gc.collect()  # now it is of the oldest generation
    return weakref.ref(knot)


async def pass_time(clock: FakeClock, seconds: float) -> None:
    """One look after the other, each with its collection if there is one."""
    for _ in range(round(seconds / gc_tuning.INTERVAL)):
        await clock.sleeping()
        clock.advance(gc_tuning.INTERVAL)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_quiet_process_is_collected_at_each_look() -> None:
    """While there is little to look at, it is looked at."""
    clock = FakeClock()
    async with tuned_gc(clock):
        garbage = old_garbage()
        await pass_time(clock, gc_tuning.INTERVAL)
        assert garbage() is None


async def test_what_a_server_has_after_its_start_is_looked_at_once() -> None:
    """Most of it stays: later collections have only what came since. What goes later is found as ever."""
    clock = FakeClock()
    async with tuned_gc(clock):
        imported = [[] for _ in range(1000)]  # type: list[list[object]]
        before = gc.get_freeze_count()
        await pass_time(clock, gc_tuning.INTERVAL)
        frozen = gc.get_freeze_count()
        assert frozen >= before + len(imported)
        garbage = old_garbage()
        await pass_time(clock, gc_tuning.INTERVAL)
        assert garbage() is None
        assert gc.get_freeze_count() <= frozen


async def test_a_busy_process_is_collected_for_what_is_new() -> None:
    """With much in memory, whether tasks or the values of a single one: neither is looked at again, and new garbage is found."""
    clock = FakeClock()
    gc.collect()  # what earlier tests have left is not to count
    async with tuned_gc(clock):
        much: list[list[object]] = [[] for _ in range(gc_tuning.QUIET)]
        assert gc.get_count()[2] > gc_tuning.FEW
        await pass_time(clock, gc_tuning.INTERVAL)
        assert len(gc.get_objects()) < 1_000
        for _ in range(3):
            garbage = old_garbage()
            await pass_time(clock, gc_tuning.INTERVAL)
            assert garbage() is None
            assert len(gc.get_objects()) < 1_000
        more: list[list[object]] = [[] for _ in range(gc_tuning.QUIET)]
        await pass_time(clock, gc_tuning.INTERVAL)
        assert len(gc.get_objects()) < 1_000
        much.clear()
        more.clear()
        garbage = old_garbage()
        await pass_time(clock, gc_tuning.INTERVAL)
        assert garbage() is None


async def test_many_new_objects_are_not_looked_at() -> None:
    """The look would take longer than the loop may be held; the young ones are."""
    clock = FakeClock()
    gc.collect()  # as above
    async with tuned_gc(clock):
        garbage = old_garbage()
        much: list[list[object]] = [[] for _ in range(gc_tuning.QUIET)]
        young = weakref.ref(Knot())
        await pass_time(clock, gc_tuning.INTERVAL)
        assert garbage() is not None
        assert young() is None
        assert len(much) == gc_tuning.QUIET


async def test_long_lists_of_texts_are_not_looked_at() -> None:
    """They are one object for the collector, which goes over all of its items."""
    clock = FakeClock()
    gc.collect()  # as above
    async with tuned_gc(clock):
        garbage = old_garbage()
        texts = [f"text {number}" for number in range(gc_tuning.QUIET + 10_000)]
        assert gc.get_count()[2] <= gc_tuning.FEW
        await pass_time(clock, gc_tuning.INTERVAL)
        assert garbage() is not None
        assert len(texts) > gc_tuning.QUIET


async def test_the_settings_of_the_process_are_put_back() -> None:
    """Afterwards all is as before."""
    before = gc.get_threshold(), gc.get_freeze_count()
    async with tuned_gc(FakeClock()):
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
