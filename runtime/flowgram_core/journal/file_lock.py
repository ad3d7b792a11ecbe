"""The lock that keeps a second server from opening the same journal."""

import errno
import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.sqlite_errors import unavailable

_OFD_SETLK: Final[int | None] = getattr(fcntl, "F_OFD_SETLK", None)
"""Locks a range for an open file description. Systems without it have the lock file only."""

_RANGE: Final = (1 << 62, 1)
"""Start and length in bytes: far beyond those that SQLite locks (https://sqlite.org/src/file/src/os.h), and any content."""

_UNSUPPORTED: Final = {errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP}
"""What file systems answer that know no such locks; the lock file is all there is then."""

_FLOCK: Final = struct.Struct("hhqqi4x")
"""Type, origin, start, length, process."""

_locked_here: set[tuple[int, int]] = set()
"""Device and inode of each database that this process has locked. To open one of them again, only to be refused, would
release SQLite's locks on it: POSIX drops those of the whole process when any descriptor of the file is closed."""


class FileLock:
    """An exclusive lock on the journal's file, held until `release` or the end of the process.

    It is two locks. The one on the file `<path>.lock` names the process that has it, and is respected by all versions. The
    one on the database itself holds even if somebody removes that file, or opens the database under another name.

    SQLite's own locks are not used for this: they come and go with transactions, and operators may read the file
    while a server runs. Nor does this lock disturb them: it belongs to its open file description, not to the process, so
    closing other descriptors of the file does not release it, and it covers no byte that SQLite locks. But closing its
    descriptor would release the locks of the whole process on the file, SQLite's too: it must be released last.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Takes both locks.

        Args:
            path: The journal's file; created if it is missing.
            writes: Whether the journal is to be written. A reader shares the lock on the database with other readers, and
                goes without a lock file where none can be created: nobody can write there.

        Raises:
            JournalUnavailable: Another server holds them, or they cannot be created.
        """
        self._path = path
        self._lock_file = path.with_name(path.name + ".lock")
        self._descriptors: list[int] = []
        self._inode: tuple[int, int] | None = None
        try:
            _refuse_second_lock(path)
            self._lock_database(writes=writes)
            self._lock_lock_file(writes=writes)
        except BlockingIOError as error:
            owner = self._owner()
            self.release()
            raise JournalUnavailable(
                f"the journal {path} is in use by another server (process {owner})"
            ) from error
        except OSError as error:
            self.release()
            raise unavailable(path, error) from error

    def release(self) -> None:
        """Releases the locks, after SQLite has closed the database.

        The lock file stays: older versions lock nothing else, and deleting it would let two of them have a lock each.
        """
        while self._descriptors:
            os.close(self._descriptors.pop())
        if self._inode is not None:
            _locked_here.discard(self._inode)
            self._inode = None

    def _lock_database(self, *, writes: bool) -> None:
        descriptor = os.open(self._path, _flags(writes=writes), 0o600)
        self._descriptors.append(descriptor)
        if _OFD_SETLK is not None:
            kind = fcntl.F_WRLCK if writes else fcntl.F_RDLCK
            try:
                fcntl.fcntl(descriptor, _OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, *_RANGE, 0))
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise
        self._inode = _inode_of(os.fstat(descriptor))
        _locked_here.add(self._inode)

    def _lock_lock_file(self, *, writes: bool) -> None:
        try:
            descriptor = os.open(self._lock_file, _flags(writes=writes), 0o600)
        except FileNotFoundError:
            if writes:
                raise
            return
        self._descriptors.append(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with suppress(OSError):  # informational: shown to an operator who finds the file locked
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)

    def _owner(self) -> str:
        with suppress(OSError):
            return self._lock_file.read_text(encoding="ascii", errors="replace")[:20].strip() or "unknown"
        return "unknown"


def _refuse_second_lock(path: Path) -> None:
    """Raises `BlockingIOError` if this process has locked the file."""
    with suppress(FileNotFoundError):
        if _inode_of(path.stat()) in _locked_here:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _inode_of(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _flags(*, writes: bool) -> int:
    return (os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY) | os.O_CLOEXEC
