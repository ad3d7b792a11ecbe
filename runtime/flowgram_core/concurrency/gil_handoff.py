"""Relief: other threads get on with their work although the event loop never rests.

A thread that returns from SQLite (or from any call that released the interpreter lock) must get the lock back. An event
loop that always has something ready releases it only for instants, when it looks for I/O without waiting, and takes it
again before the other thread is awake; and because it does release it, the interpreter never forces it to hand over.
Measured: callbacks of 0.05 to 1 ms, one after the other, keep a thread waiting for seconds. So while something is
asked of the journal's threads, the loop looks every few milliseconds whether they come on, and if not, waits for them a
little.
"""

import asyncio
import threading

_INTERVAL = 0.005
"""Seconds between two looks."""

_WAIT = 0.001
"""Seconds that the loop waits at most at one look: threads that wait for a disk must not hold it up."""


class GILHandoff:
    """Counts what an event loop asked of other threads, and makes the loop wait briefly if nothing of it gets done.

    All methods but `advanced` are called on the loop's thread.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asked = 0
        self._progress = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ask(self, count: int = 1) -> None:
        """Notes that so many things were asked of a thread."""
        self._asked += count
        if self._timer is None:
            self._progress.clear()
            self._timer = self._loop.call_later(_INTERVAL, self._look)

    def answered(self, count: int = 1) -> None:
        """Notes that the loop has received so many answers."""
        self._asked -= count

    def advanced(self) -> None:
        """Called by the threads whenever something is done."""
        self._progress.set()

    def _look(self) -> None:
        self._timer = None
        if self._asked:
            self._progress.wait(_WAIT)
            self._progress.clear()
            self._timer = self._loop.call_later(_INTERVAL, self._look)
