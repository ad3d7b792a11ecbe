"""Time limits: a block of a coroutine that takes too long ends with `TimeoutError`.

As `asyncio.timeout`, for a limit that is known when the block is entered, at a third of its cost, and by any clock. Every call of a
node has one or two of them.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType

from flowgram_core.concurrency.clock import Timer

CallLater = Callable[[float, Callable[[], None]], Timer]
"""Has something called after so many seconds: the method of a loop, or of a clock."""


class TimeLimit:
    """Cancels what the asyncio task does in the block when the time is over; the block then raises `TimeoutError`.

    Args:
        call_later: Measures the time.
        seconds: How long the block may take.

    Attributes:
        is_over: Whether the time has passed.
    """

    __slots__ = ("_call_later", "_cancelling", "_seconds", "_task", "_timer", "is_over")

    _timer: Timer

    def __init__(self, call_later: CallLater, seconds: float) -> None:
        self._call_later = call_later
        self._seconds = seconds
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the block belongs to a coroutine, which runs in a task
        self._task = task
        self._cancelling = task.cancelling()
        self._timer = self._call_later(self._seconds, self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._timer.cancel()
        task = self._task
        # The error, which the task may keep, refers to this object by the caller's variables: that would be a cycle.
        self._task = None
        canceled = self.is_over and task is not None and task.uncancel() <= self._cancelling
        # The task may have been cancelled by others besides, which then counts.
        if canceled and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        if self._task is not None:
            self.is_over = True
            self._task.cancel()
