"""The disposer: frees the values of large tasks in a thread of its own, a part at a time.

A value is given to it while others may still refer to it. It keeps the value until they do not, so that the last reference is
always its own, and no other thread has to free millions of objects in one go. See `disposal`.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from flowgram_core.modeling.disposal import dispose

LARGE: Final = 1024 * 1024
"""Bytes of memory. Less is freed in about a millisecond, in any thread."""

_BREATH: Final = 0.0005
"""Seconds that the thread leaves the interpreter to others after some milliseconds of work."""
_FIRST_DELAY: Final = 0.05
_LONGEST_DELAY: Final = 1.0
"""Seconds between two looks whether values are still in use."""


class Disposer:
    """Frees values once nothing else refers to them. Used by one thread, the event loop's.

    Args:
        first_delay: Seconds until it looks for the second time whether a value is still in use; then twice as many.
    """

    def __init__(self, first_delay: float = _FIRST_DELAY) -> None:
        self._first_delay = first_delay
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        self._given: list[Any] = []
        self._is_working = False
        self._closed = threading.Event()

    def free(self, values: list[Any]) -> None:
        """Takes JSON values, to free them as soon as nothing else refers to them."""
        with self._lock:
            if self._closed.is_set():
                return
            self._given += values
            if self._is_working:
                return
            self._is_working = True
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "disposer")
        self._executor.submit(self._work)

    def close(self) -> None:
        """Ends the thread; what it still has is freed with the process."""
        self._closed.set()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    def _work(self) -> None:
        values: list[Any] = []
        delay = self._first_delay
        while True:
            with self._lock:
                given, self._given = self._given, []
                if not given and not values:
                    self._is_working = False
                    return
            if given:
                delay = self._first_delay
            values += given
            del given
            values = dispose(values, self._pause)
            if values and self._closed.wait(delay):
                return
            delay = min(2 * delay, _LONGEST_DELAY)

    def _pause(self) -> None:
        time.sleep(_BREATH)
