"""Fair scheduling: when many tasks wake at once, only some run in each iteration of the event loop, so that others are served too."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Final, cast

_SLICE: Final = 0.005
"""Seconds of one iteration of the event loop in which tasks may start; the next one starts in the next iteration."""
_MOST_WOKEN: Final = 64
_FIRST_WOKEN: Final = 4
"""How many are woken in one iteration at most, and at first. One that is woken in vain costs as much as a small piece of work."""


class _AtOnce:
    """An awaitable that waits for nothing, as often as it is awaited: a coroutine would be an object for each time."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        return cast("Generator[Any, None, None]", iter(()))


_AT_ONCE: Final = _AtOnce()


class FairScheduler:
    """Admits work to the event loop in short time slices, first come, first served.

    Args:
        monotonic: Tells the time in seconds. Not the loop's clock, which may stand still within an iteration.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._late: deque[asyncio.Future[None]] = (
            deque()
        )  # were woken in this iteration, and found the slice used up
        self._slice_began: float | None = None
        self._woken = _FIRST_WOKEN
        self._served = 0  # of those that were woken in this iteration

    def time_slice(self) -> Awaitable[None]:
        """Waits until the caller may run for some milliseconds: not at all, while the current slice is not used up."""
        return _AT_ONCE if self.is_free() else self._wait()

    async def _wait(self) -> None:
        loop, queue = asyncio.get_running_loop(), self._waiting
        while True:
            woken: asyncio.Future[None] = loop.create_future()
            queue.append(woken)
            await woken
            if self._has_time_left():
                self._served += 1
                return
            queue = self._late

    def is_free(self) -> bool:
        """Whether the caller may run for some milliseconds at once, as nobody waits, and the slice is not used up."""
        return not self._waiting and not self._late and self._has_time_left()

    def _has_time_left(self) -> bool:
        now = self._monotonic()
        if self._slice_began is None:
            self._slice_began = now
            loop = asyncio.get_running_loop()
            loop.call_soon(self._next_slice, loop)
        return now - self._slice_began < _SLICE

    def _begin_slice(self) -> None:
        self._slice_began = self._monotonic()

    def _next_slice(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wakes the coroutines that run in the next iteration; runs behind those of this one, so that the order stays."""
        waiting = self._waiting
        if not waiting and not self._late:
            self._slice_began = None
            return
        # As many as there was time for in this iteration, and one more; if all had time, twice as many.
        self._woken = min(self._served + 1 if self._late else 2 * self._woken, _MOST_WOKEN)
        self._served = 0
        while self._late:
            waiting.appendleft(self._late.pop())
        loop.call_soon(self._begin_slice)
        for _ in range(min(self._woken, len(waiting))):
            woken = waiting.popleft()
            if not woken.done():  # or its waiter was cancelled
                woken.set_result(None)
        loop.call_soon(self._next_slice, loop)
