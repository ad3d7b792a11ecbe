"""Translation of errors of SQLite and the file system into the journal's own, with texts for operators."""

import errno
import shutil
import sqlite3
from pathlib import Path

from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable

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
    """The journal's error for one of SQLite or the operating system. Its text names the file, never content."""
    if isinstance(error, OSError):
        return JournalUnavailable(f"the journal {path} cannot be used: {error.strerror or 'system error'}")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if is_damage(error):
        return JournalDamaged(
            f"the journal {path} is damaged ({name}): restore it from a backup, or move it away to start empty"
        )
    code = _code(error) & 0xFF
    if code == sqlite3.SQLITE_IOERR and _is_full(path):
        code = sqlite3.SQLITE_FULL  # some writes that find no space are reported as I/O errors
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
