"""The watchdog: cancels a blocking read that waits for too long."""

import threading
from collections.abc import Callable

_TICKS = 3
"""A read that is seen waiting at so many ticks in a row has waited for the whole time-out."""


class Watchdog:
    """Calls `on_timeout` once one and the same read has lasted for `timeout` seconds (or a third more).

    The reader says when it waits by plain attributes, so that a read costs nothing; a thread of its own looks at
    them now and then. Only waiting counts: a consumer may take its time between two reads.
    """

    def __init__(self, timeout: float, on_timeout: Callable[[], object]) -> None:
        self._tick = timeout / _TICKS
        self._on_timeout = on_timeout
        self._closed = threading.Event()
        self._reads = 0
        self._waiting = False
        self.expired = False
        threading.Thread(target=self._watch, name="flowgram-watchdog", daemon=True).start()

    def waits(self) -> None:
        """A read begins."""
        self._reads += 1
        self._waiting = True

    def got(self) -> None:
        """The read has ended."""
        self._waiting = False

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _watch(self) -> None:
        seen, ticks = -1, 0
        while not self._closed.wait(self._tick):
            if not self._waiting or self._reads != seen:
                seen, ticks = self._reads, 0
            elif (ticks := ticks + 1) == _TICKS:
                self.expired = True
                self._on_timeout()
                return
