"""Hand-over of the interpreter lock: worker threads make progress although the event loop never rests.

A thread that returns from SQLite (or from any call that released the interpreter lock) must get the lock back. An event
loop that always has something ready releases the lock only for instants, when it polls for I/O, and takes it again before
the other thread is awake; and because it does release it, the interpreter never forces it to hand over. Measured:
callbacks of 0.05 to 1 ms, one after the other, keep a thread waiting for seconds. So while work is outstanding in the
journal's threads, the loop checks every few milliseconds whether they make progress, and if not, waits for them briefly.
"""

import asyncio
import threading
from typing import Protocol

_INTERVAL = 0.005
"""Seconds between two checks."""

_WAIT = 0.001
"""Seconds that the loop waits at most per check: threads that wait for a disk must not hold it up."""


class Progress(Protocol):
    """The signal by which threads report progress: a `threading.Event`."""

    def set(self) -> None:
        """Records progress. Called by the threads."""
        ...

    def clear(self) -> None:
        """Clears the record."""
        ...

    def wait(self, timeout: float) -> object:
        """Waits until progress is recorded, for so many seconds at most. Releases the interpreter lock meanwhile."""
        ...


class GILHandoff:
    """Counts the work that an event loop has handed to threads, and lets the loop wait briefly when none of it progresses.

    All methods but `progressed` are called on the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, progress: Progress | None = None) -> None:
        self._loop = loop
        self._outstanding = 0
        self._progress: Progress = progress or threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def submitted(self, count: int = 1) -> None:
        """Records that so many pieces of work were handed to a thread."""
        self._outstanding += count
        if self._timer is None:
            self._progress.clear()
            self._timer = self._loop.call_later(_INTERVAL, self._check)

    def completed(self, count: int = 1) -> None:
        """Records that the loop has received so many results."""
        self._outstanding -= count

    def progressed(self) -> None:
        """Called by the threads whenever a piece of work is done."""
        self._progress.set()

    def _check(self) -> None:
        self._timer = None
        if self._outstanding:
            self._progress.wait(_WAIT)
            self._progress.clear()
            self._timer = self._loop.call_later(_INTERVAL, self._check)
