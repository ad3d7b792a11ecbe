"""A queue of timers of the same lengths: the event loop knows the first of each length alone, since most are cancelled before they are due.

A timer of the event loop is several objects, and costs as much as some ten calls; every call of a node has one or two time limits.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from flowgram_core.concurrency.clock import Timer

_MOST_LENGTHS: Final = 64
"""Lengths of timers that are waited for at once; timers of others are the event loop's own."""
_RESOLUTION: Final = 0.001
"""Seconds by which event loops may call too early: they count in milliseconds."""
_MOST_AT_ONCE: Final = 200
"""Timers that are called in one go."""


class QueuedTimer:
    """A scheduled callback."""

    __slots__ = ("callback", "due", "row")

    def __init__(self, row: "_Row", due: float, callback: Callable[[], object]) -> None:
        self.row = row
        self.due = due
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """See `Timer`."""
        self.callback = None  # which often refers to who holds this object
        self.row.remove(self)


class TimerQueue:
    """Has things called after so many seconds, as the clock's own `call_later` does.

    Args:
        call_later: Schedules single timers, on the running event loop.
        monotonic: Tells the time by which they go, in seconds.
    """

    def __init__(
        self, call_later: Callable[[float, Callable[[], object]], Timer], monotonic: Callable[[], float]
    ) -> None:
        self._call_later = call_later
        self._monotonic = monotonic
        self._rows: dict[float, _Row] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Calls back after so many seconds, on the running event loop."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Another loop's timers end with it.
            self._loop, self._rows = loop, {}
        row = self._rows.get(seconds)
        if row is None:
            if len(self._rows) >= _MOST_LENGTHS:
                return self._call_later(seconds, callback)
            row = self._rows[seconds] = _Row(self, seconds)
        timer = QueuedTimer(row, self._monotonic() + seconds, callback)
        row.add(timer)
        return timer

    def arm(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Schedules the first timer of a row."""
        return self._call_later(seconds, callback)

    def now(self) -> float:
        """The time by which timers go."""
        return self._monotonic()

    def drop(self, row: "_Row") -> None:
        """A row has no timers any more."""
        if self._rows.get(row.seconds) is row:
            del self._rows[row.seconds]


class _Row:
    """Timers of one length, in the order in which they are due."""

    __slots__ = ("_armed", "_queue", "_timers", "seconds")

    def __init__(self, queue: TimerQueue, seconds: float) -> None:
        self.seconds = seconds
        self._queue = queue
        self._timers: dict[QueuedTimer, None] = {}
        self._armed: Timer | None = None

    def add(self, timer: QueuedTimer) -> None:
        """Adds a timer, which is the last."""
        self._timers[timer] = None
        if self._armed is None:
            self._armed = self._queue.arm(self.seconds, self._call_due)

    def remove(self, timer: QueuedTimer) -> None:
        """Removes a timer, if it was not called. The event loop may call for one that was cancelled: it is then told of the next."""
        self._timers.pop(timer, None)
        if not self._timers:
            self._end()

    def _end(self) -> None:
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        self._queue.drop(self)

    def _call_due(self) -> None:
        self._armed = None
        now = self._queue.now()
        due: list[QueuedTimer] = []
        left = -1.0
        for timer in self._timers:
            left = timer.due - now
            if left > _RESOLUTION:
                break
            if len(due) == _MOST_AT_ONCE:
                left = 0.0
                break
            due.append(timer)
        for timer in due:
            del self._timers[timer]
        if self._timers:
            self._armed = self._queue.arm(max(left, 0.0), self._call_due)
        else:
            self._end()
        for timer in due:
            callback, timer.callback = timer.callback, None
            if callback is not None:  # or one of those before has cancelled it
                callback()
