"""Stop signals: the first one asks a process to drain, the second one to end at once."""

import asyncio
import signal
from collections.abc import Callable, Sequence


class StopSignals:
    """Requests to stop: the first one asks to drain, the second one to end at once.

    Args:
        on_second: Called at the second one and all after it.
    """

    def __init__(self, on_second: Callable[[], None] = lambda: None) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self._on_second = on_second

    def stop(self) -> None:
        """Asks once more."""
        if self.first.is_set():
            self.second.set()
            self._on_second()
        self.first.set()

    def listen(self, signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT)) -> None:
        """Makes the process's signals ask."""
        loop = asyncio.get_running_loop()
        for number in signals:
            loop.add_signal_handler(number, self.stop)
