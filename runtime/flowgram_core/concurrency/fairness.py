"""Fair scheduling: when many tasks wake at once, only some run in each iteration of the event loop, so that others are served too."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

_SLICE: Final = 0.005
"""Seconds of one iteration of the event loop in which tasks may start; the next one starts in the next iteration."""
_WOKEN: Final = 64
"""How many are woken in one iteration: more than most iterations have time for, and few enough to wake in vain."""


class FairScheduler:
    """Admits work to the event loop in short time slices, first come, first served.

    Args:
        monotonic: Tells the time in seconds. Not the loop's clock, which may stand still within an iteration.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._retrying: deque[asyncio.Future[None]] = deque()  # these were woken, and found the slice used up
        self._slice_began: float | None = None

    async def time_slice(self) -> None:
        """Returns when the caller may run for some milliseconds: at once, while the current slice is not used up."""
        loop = asyncio.get_running_loop()
        queue = self._waiting
        if not queue and not self._retrying and self._has_time_left(loop):
            return
        while True:
            woken: asyncio.Future[None] = loop.create_future()
            queue.append(woken)
            await woken
            if self._has_time_left(loop):
                return
            queue = self._retrying

    def _has_time_left(self, loop: asyncio.AbstractEventLoop) -> bool:
        now = self._monotonic()
        if self._slice_began is None:
            self._slice_began = now
            loop.call_soon(self._next_slice, loop)
        return now - self._slice_began < _SLICE

    def _next_slice(self, loop: asyncio.AbstractEventLoop) -> None:
        self._slice_began = None
        if not self._waiting and not self._retrying:
            return
        self._slice_began = self._monotonic()
        loop.call_soon(self._next_slice, loop)  # before those who are woken here
        for _ in range(_WOKEN):
            if not (queue := self._retrying or self._waiting):
                break
            woken = queue.popleft()
            if not woken.done():  # or its waiter was cancelled
                woken.set_result(None)
