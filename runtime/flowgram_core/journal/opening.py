"""Opening the journal's file: its rights, its lock, its settings, and what operators read when that fails."""

import errno
import fcntl
import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable
from flowgram_core.journal.migrations import VERSION, UnknownVersion, migrate, version_of
from flowgram_core.journal.write_ahead_log import check_log

Synchronous = Literal["normal", "full"]
"""What a commit survives. "normal": the death of the process; if the machine loses power, the last commits may be lost,
the file is whole. "full": that too, for one disk flush per group of commits."""

_BUSY_TIMEOUT = 5.0
"""Seconds to wait for another program, such as an operator's shell, to let go of the file."""

_CACHED_STATEMENTS = 512
"""Statements with up to 64 rows of values exist in several kinds; compiling one again costs more than running it."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_TOOBIG}

_UNWRITABLE = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_IOERR,
}
_UNWRITABLE_BY_SYSTEM = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO}

_LITTLE_SPACE = 65_536
"""Bytes; the index of a write-ahead log alone takes half of it."""

_REASONS = {
    sqlite3.SQLITE_FULL: "there is no space left for it",
    sqlite3.SQLITE_READONLY: "it cannot be written to (read-only file, directory or file system)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened (missing directory, or no right to it)",
    sqlite3.SQLITE_PERM: "there is no right to open it",
    sqlite3.SQLITE_IOERR: "the disk reports an input/output error",
    sqlite3.SQLITE_BUSY: "another program holds it",
    sqlite3.SQLITE_LOCKED: "another program holds it",
    sqlite3.SQLITE_NOMEM: "there is not enough memory",
}


def unavailable(path: Path, error: Exception) -> JournalUnavailable:
    """The journal's error for one of SQLite or of the system. Its text names the file, never content."""
    if isinstance(error, OSError):
        return JournalUnavailable(f"the journal {path} cannot be used: {error.strerror or 'system error'}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if is_damage(error):
        return JournalDamaged(
            f"the journal {path} is damaged ({name}): restore it from a backup, or move it away to start empty"
        )
    code = _code(error) & 0xFF
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        code = sqlite3.SQLITE_FULL  # some writes that find no space are told as errors of the disk
    reason = _REASONS.get(code, "SQLite reports an error")
    return JournalUnavailable(f"the journal {path} cannot be used: {reason} ({name})")


def is_damage(error: Exception) -> bool:
    """Whether an error of SQLite, or of what was read, means that the file is not what was written."""
    return _code(error) & 0xFF in _DAMAGED


def cannot_write(error: BaseException | None) -> bool:
    """Whether an error, of SQLite or of the system, means that a file cannot be written, though perhaps read."""
    if isinstance(error, OSError):
        return error.errno in _UNWRITABLE_BY_SYSTEM
    return isinstance(error, sqlite3.Error) and _code(error) & 0xFF in _UNWRITABLE


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < _LITTLE_SPACE
    except OSError:
        return False


def _code(error: Exception) -> int:
    # Errors without a code come from Python's side of the module: text that is not UTF-8.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)


def resolve(path: Path) -> Path:
    """The absolute path of the journal's file, whose directory is created with mode 0700 if it is missing.

    Raises:
        JournalUnavailable: The directory cannot be made.
    """
    try:
        path = path.resolve()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unavailable(path, error) from error
    return path


class FileLock:
    """An exclusive lock beside the journal's file, held until `release` or the end of the process.

    SQLite's own locks are not used for this: they come and go with transactions, and operators may read the file
    while a server runs.
    """

    def __init__(self, path: Path, *, writes: bool = True) -> None:
        """Takes the lock `<path>.lock`.

        Args:
            path: The journal's file.
            writes: Whether the lock must be there, and be made if it is not. One who only reads does without where none
                can be made: nobody can write there.

        Raises:
            JournalUnavailable: Another server has it, or it cannot be made.
        """
        lock = path.with_name(path.name + ".lock")
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(
                lock, (os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY) | os.O_CLOEXEC, 0o600
            )
        except FileNotFoundError as error:
            if writes:
                raise unavailable(path, error) from error
            return
        except OSError as error:
            raise unavailable(path, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._descriptor, 20).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise JournalUnavailable(
                f"the journal {path} is in use by another server (process {owner or 'unknown'})"
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise unavailable(path, error) from error
        with suppress(OSError):  # the number is a courtesy to whoever finds the file locked
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets go of the lock. The file stays: deleting it would let two servers hold two locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)


def open_writer(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Opens the file for writing, creates it if it is missing, and brings its tables up to date.

    It has mode 0600 then, so far as this process may give it, and so have the files beside it.

    Raises:
        JournalUnavailable: It cannot be opened or written, is damaged, no journal, or of a newer program.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        check_log(path)
        connection = _connect(path.as_uri())
        try:
            version = version_of(connection)
            _make_private(path)
            _configure(connection, synchronous)
            migrate(connection, version)
        except BaseException:
            connection.close()
            raise
    except UnknownVersion as error:
        raise JournalUnavailable(f"the file {path} {error}") from error
    except (sqlite3.Error, OSError) as error:
        raise unavailable(path, error) from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Opens one more connection that only reads.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = _connect(path.as_uri())
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_unwritable(path: Path, *, with_log: bool) -> sqlite3.Connection:
    """Opens a connection to a file that cannot be written, beside which nothing can be made, and which nobody else writes.

    Args:
        path: The file.
        with_log: Whether its write-ahead log has something to read.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    if not with_log:
        return _connect(f"{path.as_uri()}?mode=ro&immutable=1")
    # A log that is to be read needs an index, and an index in memory an exclusive lock, which only a file that can be
    # written grants; without any locks it is granted in name.
    connection = _connect(f"{path.as_uri()}?mode=ro&vfs=unix-none")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def check_readable(connection: sqlite3.Connection) -> None:
    """Checks that a file that cannot be written can be read as it is.

    Raises:
        UnknownVersion: It is no journal, or not of this program's version.
        sqlite3.Error: It cannot be read.
    """
    version = version_of(connection)
    if version != VERSION:
        raise UnknownVersion(f"has version {version}, and cannot be brought to version {VERSION}")


def _make_private(path: Path) -> None:
    """Takes all rights to the file from others, who may have got them by a restored backup."""
    # SQLite makes the files beside it with the rights of this one; a former process may have left some.
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):  # there is none, or it is somebody else's
            path.with_name(path.name + suffix).chmod(0o600)


def _configure(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # works only while the file is empty
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    # Every 4 MB the writer carries the log over into the file, which takes some 5 ms. A thread of its own for that costs
    # more in all, and never finds the moment to start the log from its beginning while commits go on.
    connection.execute("PRAGMA wal_autocheckpoint = 1000")
    connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")


def _connect(uri: str) -> sqlite3.Connection:
    # Transactions are begun and ended by hand, and each connection is used by one thread at a time.
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
