"""Tuning of the garbage collector, so that it does not hold the event loop.

A full collection looks at every object of the process: with 10,000 waiting tasks that takes 150 ms, in which nobody is
served. Reference counts free nearly all there is, so full collections can wait until there is little to look at. Young
objects are collected as ever, some more at a time.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flowgram_core.concurrency.clock import Clock

_THRESHOLDS: Final = (2_000, 10, 1_000_000)
"""The last one stands for never."""

INTERVAL: Final = 10.0
"""Seconds between two looks."""
QUIET: Final = 200
"""With fewer coroutines than this there is little to look at."""
LONGEST: Final = 600.0
"""Seconds after which a full collection is made in any case: memory must stay bounded."""


@asynccontextmanager
async def tuned_gc(clock: Clock) -> AsyncIterator[None]:
    """Collects so while the block lasts. For processes that do nothing else."""
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()  # what was imported stays anyway
    gc.set_threshold(*_THRESHOLDS)
    collecting = asyncio.create_task(_collect(clock), name="garbage collection")
    try:
        yield
    finally:
        collecting.cancel()
        await asyncio.wait([collecting])
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _collect(clock: Clock) -> None:
    waited = 0.0
    while True:
        await clock.sleep(INTERVAL)
        waited += INTERVAL
        if waited >= LONGEST or len(asyncio.all_tasks()) < QUIET:
            gc.collect()
            waited = 0.0
