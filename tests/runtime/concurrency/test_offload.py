"""Work on large values leaves the event loop to others."""

import asyncio
from functools import partial

import pytest
from support.loops import let_the_loop_go_on

from flowgram_core.concurrency.offload import LARGE, run_in_thread_if_large


async def test_the_loop_goes_on_while_large_values_are_worked_through() -> None:
    """The work waits for a round of the loop; what it raises is raised."""
    waiting = partial(let_the_loop_go_on, asyncio.get_running_loop())
    await run_in_thread_if_large(LARGE + 1, waiting)
    with pytest.raises(ValueError, match="x"):
        await run_in_thread_if_large(LARGE + 1, int, "x")


async def test_small_values_are_worked_through_at_once() -> None:
    """Without a round of the event loop."""
    with pytest.raises(StopIteration) as ended:
        run_in_thread_if_large(LARGE, int, "5").send(None)
    assert ended.value.value == 5
