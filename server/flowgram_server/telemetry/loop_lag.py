"""Event-loop lag: by how much the event loop is late."""

import asyncio
from collections.abc import Callable
from typing import Final

_INTERVAL: Final = 0.25


class LoopLag:
    """Measures the lag of the running event loop, four times a second.

    Args:
        observe: Gets the seconds of each measurement.
    """

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Measures from now on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + _INTERVAL, self._measure, loop.time() + _INTERVAL)

    def stop(self) -> None:
        """Measures no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _measure(self, due: float) -> None:
        self._observe(max(0.0, asyncio.get_running_loop().time() - due))
        self.start()
