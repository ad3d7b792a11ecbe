"""Work beside other work: what no mistake may end for good, what is tried again, and what may not be waited for without end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Final

from flowgram_core.concurrency.clock import Clock

_log = logging.getLogger(__name__)

_PAUSE: Final = 10.0
"""Seconds between a failure and the next beginning."""


def retry_delays() -> Iterator[float]:
    """Seconds between attempts at what the journal does not take or give for now: 1, and twice as long each time, up to 30."""
    delay = 1.0
    while True:
        yield delay
        delay = min(2 * delay, 30.0)


async def run_forever(name: str, work: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Does some work to its end: where it raises an error, that is logged, and the work begins again a little later.

    Args:
        name: What the program's log calls it.
        work: Begins the work.
        clock: Measures the pause.
    """
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - whatever it is, the work must go on
            _log.exception("%s failed, and begins again in %g s", name, _PAUSE)
            await clock.sleep(_PAUSE)
        else:
            return


async def with_timeout(seconds: float, work: Coroutine[None, None, None], clock: Clock) -> bool:
    """Does some work if that takes no longer than so many seconds; False if it had to be cancelled then. Raises what it raises."""
    working = asyncio.create_task(work)
    patience = asyncio.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait((working, patience), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done()
    finally:
        working.cancel()
        patience.cancel()
        await asyncio.gather(working, patience, return_exceptions=True)
