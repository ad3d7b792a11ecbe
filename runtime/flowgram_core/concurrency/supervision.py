"""Helpers for background tasks: restart on error, retry with backoff, run with a time-out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Final

from flowgram_core.concurrency.clock import Clock

_log = logging.getLogger(__name__)

_RESTART_DELAY: Final = 10.0
"""Seconds between a failure and the restart."""


def retry_delays() -> Iterator[float]:
    """Delays of an exponential backoff, in seconds: 1, then twice as long each time, up to 30."""
    delay = 1.0
    while True:
        yield delay
        delay = min(2 * delay, 30.0)


async def run_forever(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Runs background work until it returns: an error is logged, and the work is started again a little later.

    Args:
        name: What the program's log calls it.
        work: Called to start the work, and to restart it.
        clock: Measures the delay.
    """
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - the work must go on after any error
            _log.exception("%s failed, and is started again in %g s", name, _RESTART_DELAY)
            await clock.sleep(_RESTART_DELAY)
        else:
            return


async def with_timeout(seconds: float, work: Coroutine[None, None, None], clock: Clock) -> bool:
    """Runs some work for at most so many seconds; False if it had to be cancelled then. Raises what the work raises."""
    working = asyncio.create_task(work)
    timeout = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait((working, timeout), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        working.cancel()
        timeout.cancel()
        await asyncio.gather(working, timeout, return_exceptions=True)
