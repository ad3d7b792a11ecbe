"""The live end of a task's log."""

import asyncio

import pytest
from support.fakes import FakeClock

from flowgram_core.hosting.live_log import DeltaReader, LiveLog, OutputDelta
from flowgram_core.journal.interface import Batch


def batch(first: int, last: int, size: int = 10) -> Batch:
    return Batch(first, last, at=first, cause=None, events=b"x" * size)


ONE, TWO, THREE = batch(1, 3), batch(4, 4), batch(5, 9)


def filled(tail_bytes: int = 1000) -> LiveLog:
    live_log = LiveLog(tail_bytes)
    live_log.publish([ONE, TWO])
    live_log.publish([THREE])
    return live_log


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (0, [ONE, TWO, THREE]),
        (1, [ONE, TWO, THREE]),
        (3, [TWO, THREE]),
        (4, [THREE]),
        (5, [THREE]),
        (8, [THREE]),
        (9, []),
        (100, []),
    ],
)
def test_the_batches_after_a_sequence(after: int, expected: list[Batch]) -> None:
    """The first of them may begin before it, since a batch is shown whole."""
    assert filled().since(after) == expected


def test_a_feed_remembers_only_the_last_batches() -> None:
    """As many bytes as it may; what is older, or larger than that, is in the journal."""
    live_log = filled(tail_bytes=20)
    assert live_log.since(0) is None
    assert live_log.since(2) is None
    assert live_log.since(3) == [TWO, THREE]
    live_log.publish([batch(10, 10, size=5000)])
    assert live_log.since(9) is None
    assert live_log.since(8) is None
    assert live_log.last_sequence == 10


def test_a_feed_that_begins_in_the_middle() -> None:
    """After a restart it knows where the log stands, but not what is in it."""
    live_log = LiveLog(1000, last_sequence=9)
    assert live_log.last_sequence == 9
    assert live_log.since(9) == []
    assert live_log.since(8) is None
    live_log.publish([batch(10, 11)])
    assert live_log.since(9) == [batch(10, 11)]
    assert live_log.since(8) is None


async def asleep(
    live_log: LiveLog, clock: FakeClock, max_seconds: float | None = None
) -> "asyncio.Task[bool]":
    sleeper = asyncio.create_task(live_log.changed(clock, max_seconds))
    await asyncio.sleep(0)
    assert not sleeper.done()
    return sleeper


async def test_news_wake_all_who_sleep() -> None:
    """New batches, the end, and a nudge."""
    live_log, clock = LiveLog(1000), FakeClock()
    sleepers = [await asleep(live_log, clock), await asleep(live_log, clock, 5)]
    live_log.publish([ONE])
    assert await asyncio.gather(*sleepers) == [True, True]
    sleepers = [await asleep(live_log, clock)]
    live_log.nudge()
    assert await asyncio.gather(*sleepers) == [True]
    sleepers = [await asleep(live_log, clock)]
    live_log.end()
    assert await asyncio.gather(*sleepers) == [True]
    assert live_log.ended


async def test_a_wait_times_out() -> None:
    """After so many seconds without news the answer is no; the time then begins anew."""
    live_log, clock = LiveLog(1000), FakeClock()
    for _ in range(2):
        sleeper = await asleep(live_log, clock, 5)
        clock.advance(4.9)
        await asyncio.sleep(0)
        assert not sleeper.done()
        clock.advance(0.2)
        assert await sleeper is False


async def test_news_at_the_last_moment_count() -> None:
    """Of news and the time-out, what comes first is reported; the other does no harm."""
    live_log, clock = LiveLog(1000), FakeClock()
    sleeper = await asleep(live_log, clock, 5)
    live_log.publish([ONE])
    clock.advance(10)
    assert await sleeper is True
    sleeper = await asleep(live_log, clock, 5)
    clock.advance(10)
    live_log.publish([TWO])
    assert await sleeper is False


async def test_who_is_cancelled_sleeps_no_longer() -> None:
    """Nothing stays behind, and the others are woken as ever."""
    live_log, clock = LiveLog(1000), FakeClock()
    first, second = await asleep(live_log, clock), await asleep(live_log, clock)
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    live_log.publish([ONE])
    assert await second is True


def delta(text: str, call: str = "a", at: int = 1) -> OutputDelta:
    return OutputDelta(call, call, text, at)


def begun(text: str, call: str = "a", at: int = 1) -> OutputDelta:
    """The first delta of a call that a reader gets."""
    return OutputDelta(call, call, text, at, from_start=True)


def test_pieces_of_one_call_are_joined() -> None:
    """One delta for each call, in the order in which the calls first gave something, with the time of the last piece."""
    reader = DeltaReader()
    for piece in (delta("1", at=1), delta("x", "b", at=2), delta("2", at=3)):
        reader.add(piece)
    assert reader.pending
    assert reader.take() == [begun("12", at=3), begun("x", "b", at=2)]
    assert not reader.pending
    assert reader.take() == []
    reader.add(delta("3", at=4))
    assert reader.take() == [delta("3", at=4)]


def test_every_reader_has_its_own_pace() -> None:
    """What one has taken, the other still gets; one that comes later gets the text so far first."""
    live_log = LiveLog(1000)
    live_log.emit(delta("0"))
    first, second = live_log.open_deltas(), live_log.open_deltas()
    live_log.emit(delta("1"))
    assert first.take() == [begun("01")]
    live_log.emit(delta("2"))
    third = live_log.open_deltas()
    assert third.pending
    assert first.take() == [delta("2")]
    assert second.take() == [begun("012")]
    assert third.take() == [begun("012")]
    live_log.emit(delta("3"))
    assert third.take() == [delta("3")]


def test_what_a_late_reader_gets_is_bounded() -> None:
    """Of a long text, in many pieces or few large ones, the last part is kept."""
    for size in (1, 50_000):
        live_log = LiveLog(1000)
        for number in range(300_000 // size):
            live_log.emit(delta(chr(ord("a") + number % 26) * size))
        (given,) = live_log.open_deltas().take()
        assert len(given.text) == 64 * 1024
        last = chr(ord("a") + (300_000 // size - 1) % 26)
        assert given.text.endswith(last)
        assert given.from_start


def test_a_call_that_has_ended_has_no_text() -> None:
    """A late reader gets nothing of it; if a call with the same key comes again, it begins anew."""
    live_log = LiveLog(1000)
    early = live_log.open_deltas()
    live_log.emit(delta("1"))
    assert early.take() == [begun("1")]
    live_log.forget_deltas("a")
    assert not live_log.open_deltas().pending
    live_log.emit(delta("2"))
    assert early.take() == [begun("2")]


def test_the_end_of_a_call_makes_its_pieces_needless() -> None:
    """They are dropped; those of other calls are not."""
    live_log = LiveLog(1000)
    reader = live_log.open_deltas()
    live_log.emit(delta("1"))
    live_log.emit(delta("x", "b"))
    live_log.forget_deltas("a")
    live_log.forget_deltas("unknown")
    assert reader.take() == [begun("x", "b")]


async def test_pieces_wake_only_where_somebody_reads_them() -> None:
    """A task that nobody watches costs nothing for its pieces."""
    live_log, clock = LiveLog(1000), FakeClock()
    sleeper = await asleep(live_log, clock)
    live_log.emit(delta("1"))
    await asyncio.sleep(0)
    assert not sleeper.done()
    reader = live_log.open_deltas()
    live_log.emit(delta("2"))
    assert await sleeper is True
    live_log.close_deltas(reader)
    live_log.emit(delta("3"))
    assert reader.take() == [begun("12")]


async def test_a_crowd_is_woken_a_part_at_a_time() -> None:
    """All wake, and others have their turn in between: no round of the event loop wakes more than some."""
    live_log, woken, rounds = LiveLog(1000), 0, []

    async def sleep() -> None:
        nonlocal woken
        await live_log.changed(FakeClock())
        woken += 1

    sleepers = [asyncio.create_task(sleep()) for _ in range(1000)]
    await asyncio.sleep(0)
    live_log.publish([ONE])
    while woken < 1000:
        await asyncio.sleep(0)
        rounds.append(woken)
    await asyncio.gather(*sleepers)
    assert max(after - before for before, after in zip([0, *rounds], rounds, strict=False)) <= 100
