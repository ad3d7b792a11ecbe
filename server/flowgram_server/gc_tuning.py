"""Tuning of the garbage collector, so that it does not hold the event loop.

A full collection looks at every object of the process: with 10,000 waiting tasks that takes 150 ms, in which nobody is
served, and as long with one task whose values are a million objects. Reference counts free nearly all there is, so full collections
can wait until there is little to look at. Young objects are collected as ever, some more at a time.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_server.memory_tuning import keep_memory_mapped

_THRESHOLDS: Final = (2_000, 10, 1_000_000)
"""The last one stands for never."""

INTERVAL: Final = 10.0
"""Seconds between two looks."""
QUIET: Final = 100_000
"""With fewer blocks of memory than this, beyond those of the start, there is little to look at: some milliseconds.

Blocks, which the interpreter knows, since they tell of values as well as of tasks, and counting coroutines takes a microsecond for each.
"""
LONGEST: Final = 600.0
"""Seconds after which a full collection is made in any case: memory must stay bounded."""


@asynccontextmanager
async def tuned_gc(clock: Clock) -> AsyncIterator[None]:
    """Collects so while the block lasts. For processes that do nothing else."""
    thresholds = gc.get_threshold()
    keep_memory_mapped()
    gc.freeze()  # what was imported stays anyway; to collect the little garbage in it takes longer than to listen
    gc.set_threshold(*_THRESHOLDS)
    quiet = sys.getallocatedblocks() + QUIET
    collecting = asyncio.create_task(_collect(clock, quiet), name="garbage collection")
    try:
        yield
    finally:
        collecting.cancel()
        await asyncio.wait([collecting])
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _collect(clock: Clock, quiet: int) -> None:
    waited = 0.0
    is_first = True
    while True:
        await clock.sleep(INTERVAL)
        waited += INTERVAL
        if waited >= LONGEST or sys.getallocatedblocks() < quiet:
            gc.collect()
            waited = 0.0
            if is_first:
                is_first = False
                gc.freeze()  # what was imported and made since the start, such as the REST gateway, stays as well
