"""Waiters: coroutines that sleep until there is something new, or for a limited time."""

import asyncio
from collections import deque
from typing import Final

from flowgram_core.concurrency.clock import Clock

_WOKEN_AT_ONCE: Final = 100

_GENTLY_AT_ONCE: Final = 20
_GENTLE_PAUSE: Final = 0.01
"""Seconds. Twenty watchers are answered in about four milliseconds."""


class Waiters:
    """A set of sleeping coroutines that are woken together."""

    __slots__ = ("_due", "_waiters")

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[bool]] = set()
        self._due: deque[asyncio.Future[bool]] = deque()  # those that are woken gently, and were not yet

    async def wait(self, clock: Clock, max_seconds: float | None = None) -> bool:
        """Sleeps until `wake`, or for so many seconds; says whether it was `wake`."""
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        timer = (
            None
            if max_seconds is None
            else clock.call_later(max_seconds, lambda: _settle(waiter, woken=False))
        )
        self._waiters.add(waiter)
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """Wakes all that sleep now."""
        if self._waiters or self._due:
            _wake_some([*self._due, *self._waiters])
            self._waiters.clear()
            self._due.clear()

    def wake_gently(self, clock: Clock) -> None:
        """Wakes all that sleep now, some at once, and of many others some more every few milliseconds: they are not urgent."""
        if not self._waiters:
            return
        was_idle = not self._due
        self._due.extend(self._waiters)
        self._waiters.clear()
        if was_idle:
            self._wake_due(clock)

    def _wake_due(self, clock: Clock) -> None:
        for _ in range(min(len(self._due), _GENTLY_AT_ONCE)):
            _settle(self._due.popleft(), woken=True)
        if self._due:
            clock.call_later(_GENTLE_PAUSE, lambda: self._wake_due(clock))


def _wake_some(waiters: list[asyncio.Future[bool]]) -> None:
    """Wakes waiters; of many, only some in each iteration of the event loop, so that other work gets in between."""
    for waiter in waiters[-_WOKEN_AT_ONCE:]:
        _settle(waiter, woken=True)
    del waiters[-_WOKEN_AT_ONCE:]
    if waiters:
        asyncio.get_running_loop().call_soon(_wake_some, waiters)


def _settle(waiter: asyncio.Future[bool], *, woken: bool) -> None:
    if not waiter.done():
        waiter.set_result(woken)
