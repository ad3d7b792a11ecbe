"""Connections to the journal's SQLite file: opening them, permissions, and pragmas."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Literal

from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.migrations import VERSION, UnknownVersion, migrate, version_of
from flowgram_core.journal.sqlite_errors import unavailable
from flowgram_core.journal.write_ahead_log import check_log

Synchronous = Literal["normal", "full"]
"""What a commit survives. "normal": the death of the process; if the machine loses power, the last commits may be lost,
the file is whole. "full": that too, for one disk flush per group of commits."""

_BUSY_TIMEOUT = 5.0
"""Seconds to wait for another program, such as an operator's shell, to release the file."""

_CACHED_STATEMENTS = 512
"""Statements with up to 64 rows of values exist in several kinds; compiling one again costs more than running it."""


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


def open_writer(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Opens the file for writing, creates it if it is missing, and brings its tables up to date.

    The file and those beside it get mode 0600, as far as this process is allowed to set it.

    Raises:
        JournalUnavailable: It cannot be opened or written, is damaged, not a journal, or from a newer version.
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
    """Opens a read-only connection.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = _connect(path.as_uri())
    connection.execute("PRAGMA query_only = ON")
    return connection


def open_checkpointer(path: Path) -> sqlite3.Connection:
    """Opens a connection that makes checkpoints and nothing else.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    return _connect(path.as_uri())


def open_unwritable(path: Path, *, with_log: bool) -> sqlite3.Connection:
    """Opens a file that cannot be written, in a directory where no file can be created, while nobody else writes it.

    Args:
        path: The file.
        with_log: Whether its write-ahead log has content to read.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    if not with_log:
        return _connect(f"{path.as_uri()}?mode=ro&immutable=1")
    # A log that is to be read needs an index, and an index in memory an exclusive lock, which only a file that can be
    # written grants. A VFS without locks grants it nominally.
    connection = _connect(f"{path.as_uri()}?mode=ro&vfs=unix-none")
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def check_readable(connection: sqlite3.Connection) -> None:
    """Checks that a file that cannot be written, and so not migrated, can be read as it is.

    Raises:
        UnknownVersion: It is not a journal, or has another version of the tables.
        sqlite3.Error: It cannot be read.
    """
    version = version_of(connection)
    if version != VERSION:
        raise UnknownVersion(f"has version {version}, and cannot be brought to version {VERSION}")


def _make_private(path: Path) -> None:
    """Makes the files private to the owner: a restored backup may have given others access."""
    # SQLite creates the files beside it with the mode of this one; a former process may have left some.
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):  # it does not exist, or belongs to another user
            path.with_name(path.name + suffix).chmod(0o600)


def _configure(connection: sqlite3.Connection, synchronous: Synchronous) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # works only while the file is empty
    connection.execute("PRAGMA secure_delete = FAST")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
    connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")


def _connect(uri: str) -> sqlite3.Connection:
    # Transactions are explicit, and each connection is used by one thread at a time.
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=_BUSY_TIMEOUT,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_CACHED_STATEMENTS,
    )
