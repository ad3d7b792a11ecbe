"""Work that no mistake ends, work that is tried again, and work that is not waited for without end."""

import asyncio
from itertools import islice

import pytest
from support.fakes import FakeClock

from flowgram_core.concurrency.supervision import retry_delays, run_forever, with_timeout


async def settle() -> None:
    """Lets all that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_attempts_come_less_and_less_often() -> None:
    """But never too seldom."""
    assert [*islice(retry_delays(), 7)] == [1, 2, 4, 8, 16, 30, 30]


async def test_work_that_fails_begins_again_after_a_pause(caplog: pytest.LogCaptureFixture) -> None:
    """Each failure is logged with its name and its error, until the work comes to its end."""
    clock, begun = FakeClock(), 0

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 3:
            raise ZeroDivisionError(f"mistake {begun}")

    keeping = asyncio.create_task(run_forever("the work", work, clock))
    for failures in (1, 2):
        await clock.sleeping()
        clock.advance(9.9)
        await settle()
        assert begun == failures
        assert caplog.text.count("the work failed") == failures
        assert f"ZeroDivisionError: mistake {failures}" in caplog.text
        clock.advance(0.1)
        await settle()
    await keeping
    assert begun == 3


async def test_work_that_is_cancelled_does_not_begin_again() -> None:
    """A cancellation is no mistake."""
    keeping = asyncio.create_task(run_forever("the work", asyncio.Event().wait, FakeClock()))  # type: ignore[arg-type]
    await settle()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_work_has_so_many_seconds() -> None:
    """It is true that it was done, or false and it was cancelled; an error of it comes out."""
    clock, done = FakeClock(), asyncio.Event()
    stopped: list[str] = []

    async def work(name: str) -> None:
        try:
            await done.wait()
        except asyncio.CancelledError:
            stopped.append(name)
            raise

    async def fail() -> None:
        raise ZeroDivisionError

    late = asyncio.create_task(with_timeout(5, work("late"), clock))
    await clock.sleeping()
    clock.advance(4.9)
    await settle()
    assert not late.done()
    clock.advance(0.1)
    assert await late is False
    assert stopped == ["late"]
    done.set()
    assert await with_timeout(5, work("soon"), clock) is True
    assert stopped == ["late"]
    with pytest.raises(ZeroDivisionError):
        await with_timeout(5, fail(), clock)
