"""Task ids: UUIDs of version 7, which begin with the time.

Ids that grow keep the journal's index in order: random ones cost it nearly twice the time per task.
Source: RFC 9562, section 5.7.
"""

import os

from flowgram_runtime.clock import Clock

_VERSION = 7 << 76
_VARIANT = 0b10 << 62
_RANDOM = (0xFFF << 64) | ((1 << 62) - 1)
"""The bits that are random."""

_BYTES = 10
_POOL_BYTES = 400 * _BYTES


class TaskIDs:
    """Makes task ids. Random bytes are fetched for many at a time, since each system call costs as much as a small task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pool = b""

    def __call__(self) -> str:
        """An id that no other task has, in the usual form with hyphens."""
        if not self._pool:
            self._pool = os.urandom(_POOL_BYTES)
        taken, self._pool = self._pool[:_BYTES], self._pool[_BYTES:]
        milliseconds = self._clock.now() // 1000 & ((1 << 48) - 1)
        digits = f"{milliseconds << 80 | _VERSION | _VARIANT | int.from_bytes(taken, 'big') & _RANDOM:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
