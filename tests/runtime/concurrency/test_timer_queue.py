"""A queue of timers: to who uses it, each is as one of the clock's own."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.fakes import FakeClock

from flowgram_core.concurrency.clock import Timer
from flowgram_core.concurrency.timer_queue import TimerQueue

STEPS = st.lists(
    st.tuples(st.just("begin"), st.sampled_from([0, 1, 1, 2, 5, 0.5]))
    | st.tuples(st.just("cancel"), st.integers(0, 20))
    | st.tuples(st.just("advance"), st.sampled_from([0.25, 0.5, 1, 3])),
    max_size=60,
)


async def called(steps: list[tuple[str, float]], *, queued: bool) -> list[tuple[int, float]]:
    """Which timers are called, and when."""
    clock = FakeClock()
    call_later = TimerQueue(clock.call_later, clock.monotonic).call_later if queued else clock.call_later
    timers: list[Timer] = []
    found: list[tuple[int, float]] = []
    for what, value in steps:
        if what == "begin":
            number = len(timers)
            timers.append(
                call_later(value, lambda number=number: found.append((number, clock.monotonic())))  # type: ignore[misc]
            )
        elif what == "cancel" and timers:
            timers[int(value) % len(timers)].cancel()
        elif what == "advance":
            clock.advance(value)
    clock.advance(10)
    return sorted(found)


@given(STEPS)
def test_timers_are_called_when_those_of_the_clock_are(steps: list[tuple[str, float]]) -> None:
    """Whatever is cancelled meanwhile, also after it was called."""
    assert asyncio.run(called(steps, queued=True)) == asyncio.run(called(steps, queued=False))


async def test_one_timer_of_the_clock_serves_many() -> None:
    """And none is left when all were cancelled."""
    clock = FakeClock()
    armed: list[Timer] = []

    def call_later(seconds: float, callback: object) -> Timer:
        armed.append(clock.call_later(seconds, callback))  # type: ignore[arg-type]
        return armed[-1]

    queue = TimerQueue(call_later, clock.monotonic)
    timers = [queue.call_later(5, lambda: None) for _ in range(100)]
    assert len(armed) == 1
    for timer in timers:
        timer.cancel()
    sleeping = asyncio.create_task(clock.sleeping())
    await asyncio.sleep(0)
    assert not sleeping.done()
    sleeping.cancel()


async def test_many_that_are_due_at_once_are_called_in_several_goes() -> None:
    """Others on the event loop have their turns between."""
    loop = asyncio.get_running_loop()
    queue = TimerQueue(loop.call_later, loop.time)
    done: list[int] = []
    seen: list[int] = []
    over = loop.create_future()

    def note(number: int) -> None:
        done.append(number)
        if len(done) == 1000:
            over.set_result(None)

    def look() -> None:
        seen.append(len(done))
        if not over.done():
            loop.call_soon(look)

    for number in range(1000):
        queue.call_later(0, lambda number=number: note(number))  # type: ignore[misc]
    look()
    await over
    assert done == list(range(1000))
    assert any(0 < count < 1000 for count in seen)


async def test_a_timer_that_another_one_cancels_is_not_called() -> None:
    """Though both are due."""
    clock = FakeClock()
    queue = TimerQueue(clock.call_later, clock.monotonic)
    done: list[str] = []
    second: list[Timer] = []

    def cancel_second() -> None:
        second[0].cancel()

    queue.call_later(1, cancel_second)
    second.append(queue.call_later(1, lambda: done.append("second")))
    queue.call_later(1, lambda: done.append("third"))
    clock.advance(2)
    assert done == ["third"]


async def test_timers_of_very_many_lengths_are_called() -> None:
    """Also those that have no row of their own."""
    clock = FakeClock()
    queue = TimerQueue(clock.call_later, clock.monotonic)
    done: list[int] = []
    for number in range(200):
        queue.call_later(1 + number / 100, lambda number=number: done.append(number))  # type: ignore[misc]
    clock.advance(10)
    assert done == list(range(200))


def test_the_timers_of_a_loop_that_has_ended_are_forgotten() -> None:
    """Those of the next loop do not wait for them."""
    queue = TimerQueue(
        lambda seconds, callback: asyncio.get_running_loop().call_later(seconds, callback),
        lambda: asyncio.get_running_loop().time(),
    )

    async def begin() -> None:
        queue.call_later(0.001, lambda: None)

    async def wait() -> None:
        over = asyncio.get_running_loop().create_future()
        queue.call_later(0.001, lambda: over.set_result(None))
        await over

    asyncio.run(begin())
    asyncio.run(wait())
