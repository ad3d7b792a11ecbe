"""Tuning of the garbage collector, so that it does not hold the event loop.

A full collection looks at every object of the process: with 10,000 waiting tasks that takes 150 ms, in which nobody is served, and
0.2 s with one task whose values are a million arrays. Reference counts free nearly all there is; the collector is for what refers to
itself, and finds nearly all of that while it is young. So what has grown old while much is in memory is looked at no more (it is
frozen), and a full collection has only what came since. What refers to itself among it stays: tests see to it that neither
tasks nor calls leave such garbage.
"""

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_server.memory_tuning import keep_memory_mapped

_THRESHOLDS: Final = (20_000, 2, 1_000_000)
"""The first one is more than what some hundred small tasks have while they run: they are gone before anybody looks at them. A collection of
those that survived looks at 60,000 objects at most, some milliseconds. The last one stands for never.
"""

INTERVAL: Final = 10.0
"""Seconds between two looks."""
QUIET: Final = 100_000
"""With fewer blocks of memory than this, beyond those of the start, there is little to look at: some milliseconds.

Blocks, which the interpreter knows, since they tell of values as well as of tasks, and counting coroutines takes a microsecond for each.
"""
FEW: Final = 0
"""Collections of young objects since the last look, after which the survivors are still few: 60,000 before the first one, at most."""


@asynccontextmanager
async def tuned_gc(clock: Clock) -> AsyncIterator[None]:
    """Collects so while the block lasts. For processes that do nothing else."""
    thresholds = gc.get_threshold()
    keep_memory_mapped()
    gc.freeze()  # what was imported stays anyway; to collect the little garbage in it takes longer than to listen
    gc.set_threshold(*_THRESHOLDS)
    collecting = asyncio.create_task(_collect(clock, sys.getallocatedblocks()), name="garbage collection")
    try:
        yield
    finally:
        collecting.cancel()
        await asyncio.wait([collecting])
        gc.set_threshold(*thresholds)
        gc.unfreeze()


async def _collect(clock: Clock, blocks_at_start: int) -> None:
    looked_at = blocks_at_start
    is_first = True
    while True:
        await clock.sleep(INTERVAL)
        blocks = sys.getallocatedblocks()
        is_quiet = blocks < blocks_at_start + QUIET
        # What came since may be few objects that refer to many blocks, such as texts, which are looked at as well.
        is_little = gc.get_count()[2] <= FEW and blocks < looked_at + QUIET
        gc.collect(2 if is_quiet or is_little else 1)
        if (
            is_first or not is_quiet
        ):  # what a server has made since its start, such as the REST gateway, stays as well
            gc.freeze()
            looked_at = blocks
        is_first = False
