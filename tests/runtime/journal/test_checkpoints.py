"""Checkpoints beside the writer."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from flowgram_core.journal.checkpoints import Checkpointer
from flowgram_core.journal.connection import open_checkpointer

_PAGE = b"x" * 4096
_TIMEOUT = 30.0

Made = SimpleQueue[tuple[int, Any]]
"""The checkpoints that were made: the thread, and SQLite's answer: whether it was busy, the pages of the log, and how many are copied."""


class _Connection(sqlite3.Connection):
    """Notes the checkpoints that are made with it."""

    made: Made

    def execute(self, *args: Any) -> sqlite3.Cursor:
        cursor = super().execute(*args)
        if "checkpoint(" in args[0]:
            answer = cursor.fetchone()
            self.made.put((threading.get_ident(), answer))
            cursor = super().execute("SELECT ?, ?, ?", answer)
        return cursor


def _open(path: Path, made: Made) -> _Connection:
    connection = sqlite3.connect(path, factory=_Connection, isolation_level=None, check_same_thread=False)
    connection.made = made
    return connection


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def made() -> Made:
    return SimpleQueue()


@pytest.fixture
def writer(path: Path, made: Made) -> Iterator[sqlite3.Connection]:
    connection = _open(path, made)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("CREATE TABLE pages (content BLOB)")
    yield connection
    connection.close()


@contextmanager
def _checkpointer(
    writer: sqlite3.Connection, open_connection: Callable[[], sqlite3.Connection]
) -> Iterator[Checkpointer]:
    checkpointer = Checkpointer(writer, open_connection)
    try:
        yield checkpointer
    finally:
        checkpointer.close()


def _commit(writer: sqlite3.Connection, checkpointer: Checkpointer, pages: int) -> None:
    writer.execute("BEGIN")
    writer.executemany("INSERT INTO pages VALUES (?)", [(_PAGE,)] * pages)
    writer.execute("COMMIT")
    checkpointer.committed(1, pages * len(_PAGE), 0.001)


def test_another_thread_copies_the_log_after_some_megabytes(
    writer: sqlite3.Connection, path: Path, made: Made
) -> None:
    """What was committed is copied into the database, and not by the writer."""
    with _checkpointer(writer, lambda: _open(path, made)) as checkpointer:
        for _ in range(3):
            _commit(writer, checkpointer, 300)
        assert made.empty()
        _commit(writer, checkpointer, 300)
        thread, (busy, pages, copied) = made.get(timeout=_TIMEOUT)
    assert thread != threading.get_ident()
    assert busy == 0
    assert copied == pages > 1000


def test_what_was_copied_takes_no_room(writer: sqlite3.Connection, path: Path, made: Made) -> None:
    """The log keeps its size; what counts is what was committed since the last checkpoint, or could not be copied."""
    with _checkpointer(writer, lambda: _open(path, made)) as checkpointer:
        assert checkpointer.pages_to_copy is None
        _commit(writer, checkpointer, 1200)
        made.get(timeout=_TIMEOUT)
    assert checkpointer.pages_to_copy == 0
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM pages").fetchone()
    with _checkpointer(writer, lambda: _open(path, made)) as checkpointer:
        _commit(writer, checkpointer, 1200)
        made.get(timeout=_TIMEOUT)
    assert checkpointer.pages_to_copy is not None
    assert checkpointer.pages_to_copy >= 1200
    reader.close()


def test_small_commits_count_by_the_pages_that_each_touches(
    writer: sqlite3.Connection, path: Path, made: Made
) -> None:
    """Also commits without contents fill the log: some hundred of them lead to a checkpoint."""
    with _checkpointer(writer, lambda: _open(path, made)) as checkpointer:
        for _ in range(1000 // 8):
            _commit(writer, checkpointer, 0)
        assert made.get(timeout=_TIMEOUT)


def test_a_long_log_starts_over(writer: sqlite3.Connection, path: Path, made: Made) -> None:
    """The writer makes the last checkpoint, of little, so that its next commit is at the beginning of the log."""

    class _Overtaken(_Connection):
        """While it makes a checkpoint, more is committed."""

        def execute(self, *args: Any) -> sqlite3.Cursor:
            cursor = super().execute(*args)
            super().execute("INSERT INTO pages VALUES (?)", (_PAGE,))
            return cursor

    def open_connection() -> sqlite3.Connection:
        connection = sqlite3.connect(path, factory=_Overtaken, isolation_level=None, check_same_thread=False)
        connection.made = made
        return connection

    with _checkpointer(writer, open_connection) as checkpointer:
        _commit(writer, checkpointer, 2500)
        before = _header_of_log(path)
        made.get(timeout=_TIMEOUT)
        for _ in range(500):
            _commit(writer, checkpointer, 1)
            if _header_of_log(path) != before:
                break
        else:
            pytest.fail("the log goes on")


def test_none_begins_where_all_may_have_been_copied(
    writer: sqlite3.Connection, path: Path, made: Made
) -> None:
    """Beside such a checkpoint a commit would start the log over, and older versions of SQLite could lose it."""
    beside = _open(path, made)
    with _checkpointer(writer, lambda: _open(path, made)) as checkpointer:
        _commit(writer, checkpointer, 1000)
        made.get(timeout=_TIMEOUT)
        checkpointer._make_beside_writer(beside)
        assert made.empty()
        _commit(writer, checkpointer, 1)  # as if it had been made before the checkpoint, and is counted now
        checkpointer._make_beside_writer(beside)
        assert made.empty()
        _commit(writer, checkpointer, 1)
        checkpointer._make_beside_writer(beside)
        assert made.qsize() == 1
    beside.close()


def test_only_the_checkpointer_makes_checkpoints(writer: sqlite3.Connection, path: Path, made: Made) -> None:
    """A commit makes none by itself, however long the log is."""
    writer.execute("PRAGMA wal_autocheckpoint = 1000")
    with _checkpointer(writer, lambda: _open(path, made)):
        assert writer.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)


def test_the_writer_makes_what_the_thread_cannot(writer: sqlite3.Connection, path: Path, made: Made) -> None:
    """A log that nobody else copies does not grow for ever."""

    def open_connection() -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    with _checkpointer(writer, open_connection) as checkpointer:
        for _ in range(6):
            _commit(writer, checkpointer, 1000)
    thread, (_, pages, copied) = made.get(timeout=_TIMEOUT)
    assert thread == threading.get_ident()
    assert copied == pages > 5000


def test_the_writer_makes_none_beside_the_thread(writer: sqlite3.Connection, path: Path, made: Made) -> None:
    """While the thread makes one, the writer goes on with its commits."""
    entered, leave = threading.Event(), threading.Event()

    class _Slow(_Connection):
        def execute(self, *args: Any) -> sqlite3.Cursor:
            entered.set()
            assert leave.wait(_TIMEOUT)
            return super().execute(*args)

    def open_connection() -> sqlite3.Connection:
        connection = sqlite3.connect(path, factory=_Slow, isolation_level=None, check_same_thread=False)
        connection.made = made
        return connection

    with _checkpointer(writer, open_connection) as checkpointer:
        _commit(writer, checkpointer, 1000)
        assert entered.wait(_TIMEOUT)
        _commit(writer, checkpointer, 6000)
        assert made.empty()
        leave.set()
        thread, _ = made.get(timeout=_TIMEOUT)
        assert thread != threading.get_ident()


def _header_of_log(path: Path) -> bytes:
    """It counts how often the log has started over."""
    return path.with_name(path.name + "-wal").read_bytes()[:32]


def test_a_checkpoint_that_fails_is_logged_and_tried_again(
    writer: sqlite3.Connection, path: Path, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that fails for a while costs nothing but a longer log."""
    failed = threading.Event()

    def open_connection() -> sqlite3.Connection:
        if not failed.is_set():
            failed.set()
            raise sqlite3.OperationalError("disk I/O error")
        return _open(path, made)

    with caplog.at_level(logging.WARNING), _checkpointer(writer, open_connection) as checkpointer:
        _commit(writer, checkpointer, 1000)
        assert failed.wait(_TIMEOUT)
        _commit(writer, checkpointer, 1000)
        _, (busy, _, _) = made.get(timeout=_TIMEOUT)
    assert busy == 0
    assert "disk I/O error" in caplog.text


def test_closing_without_a_checkpoint_opens_no_connection(
    path: Path, made: Made, writer: sqlite3.Connection
) -> None:
    """A journal that is hardly used costs a sleeping thread."""
    opened: list[sqlite3.Connection] = []

    def open_connection() -> sqlite3.Connection:
        opened.append(open_checkpointer(path))
        return opened[-1]

    with _checkpointer(writer, open_connection) as checkpointer:
        _commit(writer, checkpointer, 1)
    assert opened == []
    assert made.empty()
