"""Task ids: UUIDs of version 7, which begin with the time.

Ids that grow keep the journal's index in order: random ones cost it nearly twice the time per task.
Source: RFC 9562, section 5.7.
"""

import os
from typing import Final

from flowgram_core.concurrency.clock import Clock

_MILLISECONDS = (1 << 48) - 1
_VARIANTS: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))
"""By a random digit: the digit that says the variant, in its upper two bits, and is random in the others."""

_DIGITS = 19
_POOL_DIGITS = 400 * _DIGITS


class TaskIDs:
    """Makes task ids. Random digits are fetched for many at a time, since each system call costs as much as a small task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool = ""
        self._position = 0

    def __call__(self) -> str:
        """An id that no other task has, in the usual form with hyphens."""
        begin = self._position
        if begin == len(self._pool):
            self._pool, begin = os.urandom(_POOL_DIGITS // 2).hex(), 0
        self._position = end = begin + _DIGITS
        random = self._pool[begin:end]
        time = f"{self._clock.now() // 1000 & _MILLISECONDS:012x}"
        return f"{time[:8]}-{time[8:]}-7{random[:3]}-{_VARIANTS[random[3]]}{random[4:7]}-{random[7:]}"
