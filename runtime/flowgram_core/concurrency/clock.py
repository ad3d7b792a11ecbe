"""The clock: where the runtime gets the time from, so that tests can bring their own."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that will be made later."""

    def cancel(self) -> None:
        """Forgets about it."""
        ...


class Clock(Protocol):
    """Tells the time, and waits."""

    def now(self) -> int:
        """The time in microseconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds, on the running event loop."""
        ...


class SystemClock:
    """The real time."""

    def now(self) -> int:
        """The time in microseconds since the epoch."""
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds, on the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)
