"""Checkpoints of the write-ahead log, in a thread of their own: what was committed is copied into the database file.

A checkpoint flushes two files to the disk, which takes 15 to 30 ms for 4 MB: too long for the commits that would wait for it in the
writer's thread. Here it holds up nobody. Only where the log is to start over from its beginning must no commit be made meanwhile.
So that one is the writer's, after every other checkpoint, when little is left to copy.

SQLite before 3.51.3 can lose a commit that starts the log over while a checkpoint runs that began when nothing was left to copy
(https://sqlite.org/wal.html, "The WAL-Reset Bug"). So checkpoints are made here only, one at a time, and the thread begins none
before something was committed since the last one: then no commit can start the log over before that checkpoint has ended.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger(__name__)

_PAGES: Final = 1000
"""After so many pages a checkpoint is made."""
_MOST_PAGES: Final = 5000
"""After so many pages without one the writer makes it: the thread cannot keep up, or cannot work."""
_PAGES_PER_COMMIT: Final = 7
PAGE_BYTES: Final = 4096
_LONG_LOG: Final = 2000
"""Pages of a log that is to start over: after a crash all of it is checked, which takes 0.1 s for 4 MB."""

_NO_OTHER_CHECKPOINTS: Final = "PRAGMA wal_autocheckpoint = 0"
_CHECKPOINT: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpointer:
    """Makes a checkpoint whenever about 4 MB have been committed since the last one.

    Args:
        writer: The writer's connection; from now on used in its thread only.
        open_connection: Opens another one. It may raise `sqlite3.Error`.
    """

    def __init__(self, writer: sqlite3.Connection, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._writer = writer
        self._open_connection = open_connection
        self._is_free = threading.Lock()  # held while a checkpoint is made
        self._commits = 0
        self._commits_at_last = -1  # so many had been counted when the last checkpoint ended
        self._pages = 0  # about so many were committed since the last one was asked for
        self._pages_left = 0  # and so many since one was made
        self._not_copied: int | None = None  # pages that the last one left in the log; None: none was made
        self._log_is_long = False
        self._is_due = threading.Event()
        self._closing = False
        writer.execute(_NO_OTHER_CHECKPOINTS)
        self._thread = threading.Thread(target=self._run, name="journal-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, writes: int, size: int, seconds: float) -> None:  # noqa: ARG002 - it is a `CommitListener`
        """Counts a commit of so many writes and bytes. Called by the writer's thread, once for each."""
        self.changed(_PAGES_PER_COMMIT + writes + size // PAGE_BYTES)

    def changed(self, pages: int) -> None:
        """Counts a transaction that has changed about so many pages. Called by the writer's thread, once for each."""
        self._commits += 1
        self._pages += pages
        self._pages_left += pages
        if self._log_is_long or self._pages_left >= _MOST_PAGES:
            self._try_in_writer()
        elif self._pages >= _PAGES:
            self._pages = 0
            self._is_due.set()

    @property
    def pages_to_copy(self) -> int | None:
        """About how many pages of the log are not in the database file yet; None where that is not known. The others are used again."""
        return None if self._not_copied is None else self._not_copied + self._pages_left

    def close(self) -> None:
        """Ends the thread, after the checkpoint that it makes. Blocks."""
        self._closing = True
        self._is_due.set()
        self._thread.join()

    def _try_in_writer(self) -> None:
        """Makes a checkpoint that may leave nothing to copy, unless the thread makes one."""
        if self._is_free.acquire(blocking=False):
            try:
                self._log_is_long = self._checkpoint(self._writer) <= 0
            finally:
                self._is_free.release()

    def _make_beside_writer(self, connection: sqlite3.Connection) -> None:
        """Makes a checkpoint, unless all may have been copied already."""
        with self._is_free:
            # One commit may have been in the log when the last checkpoint was made, and be counted since.
            if self._commits - self._commits_at_last > 1:
                self._log_is_long = self._checkpoint(connection) >= _LONG_LOG

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while True:
            self._is_due.wait()
            self._is_due.clear()
            if self._closing:
                break
            try:
                connection = connection or self._open_connection()
            except sqlite3.Error as error:
                _logger.warning("no checkpoint of the journal can be made: %s", error)
                continue
            self._make_beside_writer(connection)
        if connection is not None:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> int:
        """Makes a checkpoint; gives the pages of the log, or less than 1 where it was not possible: the log grows until the next one."""
        self._pages_left = 0
        try:
            _, pages, copied = connection.execute(_CHECKPOINT).fetchone()
        except sqlite3.Error as error:
            _logger.warning("a checkpoint of the journal has failed: %s", error)
            self._not_copied = None
            return 0
        finally:
            self._commits_at_last = self._commits
        if pages >= 0:
            self._not_copied = pages - copied
        return int(pages)
