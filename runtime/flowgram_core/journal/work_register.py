"""The work register: which tasks a process is working on at this instant, in a memory-mapped file that outlives a crash.

A task whose work kills the process, or holds it until it is killed, would do so again after every restart. To count that
durably with commits would cost each step of each task a transaction. A few bytes in a shared mapping cost nothing, and the
kernel keeps them when the process dies, though not when the machine does.
"""

import logging
import mmap
import os
import struct
from pathlib import Path
from typing import Final, Self

_log = logging.getLogger(__name__)

_HEADER: Final = struct.Struct("<8sQ")
_MAGIC: Final = b"FGWORK\x00\x01"
_SLOTS: Final = 64
_SLOT_SIZE: Final = 64
"""One byte for the length, then a task's id. Longer ids are not registered."""

SIZE: Final = _HEADER.size + _SLOTS * _SLOT_SIZE
"""Bytes of a register."""

NO_SLOT: Final = -1


class WorkRegister:
    """Registers work on tasks. `begin` and `end` may be called by several threads.

    Attributes:
        crashed: The tasks that the former process was working on when it died; empty if it ended by itself.
        session: Identifies the former process; 0 if there was none.
    """

    def __init__(self, buffer: "bytearray | mmap.mmap | None" = None) -> None:
        """Takes over a register of a former process.

        Args:
            buffer: Its bytes; None: a new one that nobody will find.
        """
        self._buffer = bytearray(SIZE) if buffer is None else buffer
        self.session, self.crashed = _read(bytes(self._buffer))
        self._free = list(range(_SLOTS))
        self._closed = True

    @classmethod
    def open(cls, path: Path) -> Self:
        """Maps a file, which is created if it is missing. If that fails, that is logged, and crashes are not counted."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                missing = SIZE - os.fstat(descriptor).st_size
                if (
                    missing > 0
                ):  # written, not only made longer: a page without space on the disk would kill the process
                    os.pwrite(descriptor, bytes(missing), SIZE - missing)
                return cls(mmap.mmap(descriptor, SIZE))
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            _log.warning("cannot register work on tasks, so that none is parked: %s", error)
            return cls()

    def start(self, session: int) -> None:
        """Forgets the former process, and registers work of this one from now on."""
        self._buffer[:] = _HEADER.pack(_MAGIC, session) + bytes(SIZE - _HEADER.size)
        self._closed = False

    def close(self) -> None:
        """Registers nothing any more: the process ends by itself, whatever is still being worked on."""
        self._closed = True
        self._buffer[_HEADER.size :] = bytes(SIZE - _HEADER.size)

    def begin(self, task_id: str) -> int:
        """Registers that work on a task begins; returns what `end` takes."""
        encoded = task_id.encode()
        if self._closed or len(encoded) >= _SLOT_SIZE:
            return NO_SLOT
        try:
            slot = self._free.pop()
        except IndexError:
            return NO_SLOT
        start = _HEADER.size + slot * _SLOT_SIZE
        self._buffer[start + 1 : start + 1 + len(encoded)] = encoded
        self._buffer[start] = len(encoded)
        return slot

    def end(self, slot: int) -> None:
        """Registers that the work has ended."""
        if slot != NO_SLOT:
            self._buffer[_HEADER.size + slot * _SLOT_SIZE] = 0
            self._free.append(slot)


def _read(content: bytes) -> tuple[int, tuple[str, ...]]:
    """The session and the tasks of a register; none if it is not one."""
    magic, session = _HEADER.unpack_from(content)
    if magic != _MAGIC:
        return 0, ()
    tasks = []
    for start in range(_HEADER.size, SIZE, _SLOT_SIZE):
        length = content[start]
        if 0 < length < _SLOT_SIZE:
            tasks.append(content[start + 1 : start + 1 + length].decode(errors="replace"))
    return session, tuple(sorted(set(tasks)))
