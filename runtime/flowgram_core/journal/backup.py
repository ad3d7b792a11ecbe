"""Backups of the SQLite journal: made while a server runs, checked, and put in its place again."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from flowgram_core.journal.connection import open_reader, resolve
from flowgram_core.journal.errors import JournalDamaged, JournalFileExists, JournalUnavailable
from flowgram_core.journal.file_lock import FileLock
from flowgram_core.journal.migrations import UnknownVersion, version_of
from flowgram_core.journal.sqlite_errors import unavailable

_PAGES: Final = 4096
"""Copied in one step: about 16 MB."""
_BESIDE: Final = ("-wal", "-shm", "-journal", ".work")
"""What lies beside a journal and belongs to its former content."""


def back_up(path: Path, target: Path, *, overwrite: bool = False) -> None:
    """Copies a journal into a file of its own, of mode 0600. A server may run; the copy is its state at one moment.

    The target is there as a whole, and checked, or not at all.

    Args:
        path: The journal's file.
        target: Where the copy goes.
        overwrite: Whether a file may be there already.

    Raises:
        JournalFileExists: One is there.
        JournalDamaged: The copy is damaged, as the journal is.
        JournalUnavailable: It cannot be read or written.
    """
    if target.exists() and not overwrite:
        raise JournalFileExists(f"{target} is there already")
    with _new_file(target) as copy:
        try:
            with closing(open_reader(path)) as source, closing(sqlite3.connect(copy)) as destination:
                version_of(source)
                # One transaction: what is written meanwhile neither gets into the copy nor makes it begin anew.
                source.execute("BEGIN")
                source.backup(destination, pages=_PAGES)
                source.execute("ROLLBACK")
                destination.execute("PRAGMA journal_mode = DELETE")  # one file
        except UnknownVersion as error:
            raise JournalUnavailable(f"the file {path} {error}") from error
        except sqlite3.Error as error:
            raise unavailable(path, error) from error
        check(copy)


def restore(backup: Path, path: Path, *, overwrite: bool = False) -> None:
    """Puts a backup in the place of a journal; the backup stays.

    Args:
        backup: The backup.
        path: The journal's file. Its directory is made if it is missing.
        overwrite: Whether there may be a journal already. It is lost.

    Raises:
        JournalFileExists: There is one.
        JournalDamaged: The backup is damaged.
        JournalUnavailable: It is no journal, or cannot be read or written; or a server uses the one that is there.
    """
    check(backup)
    path = resolve(path)
    was_there = path.exists()
    if was_there and not overwrite:
        raise JournalFileExists(f"there is a journal {path} already")
    lock = FileLock(path)
    is_restored = False
    try:
        with _new_file(path, before=lambda: _remove_beside(path)) as copy:
            shutil.copyfile(backup, copy)
            check(copy)
        is_restored = True
    except OSError as error:
        raise unavailable(path, error) from error
    finally:
        if not is_restored and not was_there:
            path.unlink(missing_ok=True)  # the lock has made it
        lock.release()


def check(path: Path) -> None:
    """Checks that a file that nobody writes is a whole journal.

    Raises:
        JournalDamaged: It is damaged.
        JournalUnavailable: It is no journal, or cannot be read.
    """
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as connection:
            version = version_of(connection)
            problems = [text for (text,) in connection.execute("PRAGMA integrity_check(3)")]
    except UnknownVersion as error:
        raise JournalUnavailable(f"the file {path} {error}") from error
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    if not version:
        raise JournalUnavailable(f"the file {path} is empty")
    if problems != ["ok"]:
        raise JournalDamaged(f"the file {path} is damaged: {'; '.join(problems)}")


def _nothing() -> None:
    pass


@contextmanager
def _new_file(target: Path, before: Callable[[], None] = _nothing) -> Iterator[Path]:
    """A new file of mode 0600 beside a target, which takes its place once the block has ended well and all is on disk."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise unavailable(target, error) from error
    try:
        yield draft
        try:
            _flush(draft)
            before()
            draft.replace(target)
            _flush(target.parent)
        except OSError as error:
            raise unavailable(target, error) from error
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            with suppress(OSError):
                draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_beside(path: Path) -> None:
    for suffix in _BESIDE:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
