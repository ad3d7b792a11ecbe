"""The clock: the source of time, which tests replace."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from mypy_extensions import mypyc_attr


class Timer(Protocol):
    """A scheduled callback."""

    def cancel(self) -> None:
        """Cancels the callback."""
        ...


class Clock(Protocol):
    """Tells the time, and waits."""

    def now(self) -> int:
        """The time in microseconds since the epoch. It may be set, and then jumps."""
        ...

    def monotonic(self) -> float:
        """Seconds from any beginning, which never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds, on the running event loop."""
        ...


@mypyc_attr(allow_interpreted_subclasses=True)
class SystemClock:
    """The real time."""

    def now(self) -> int:
        """The time in microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds from any beginning, which never jump."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Returns after so many seconds."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds, on the running event loop."""
        return asyncio.get_running_loop().call_later(seconds, callback)
