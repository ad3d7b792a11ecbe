"""Checkpoints of the write-ahead log, in a thread of their own: what was committed is copied into the database file.

A checkpoint flushes two files to the disk, which takes 15 to 30 ms for 4 MB: too long for the commits that would wait for it in the
writer's thread. Here it holds up nobody. Only where the log is to start over from its beginning must no commit be made meanwhile.
So that one is the writer's, after every other checkpoint, when little is left to copy.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger(__name__)

_PAGES: Final = 1000
"""After so many pages a checkpoint is made."""
_PAGES_PER_COMMIT: Final = 7
_PAGE_BYTES: Final = 4096
_LONG_LOG: Final = 2000
"""Pages of a log that is to start over: after a crash all of it is checked, which takes 0.1 s for 4 MB."""

_CHECKPOINT: Final = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpointer:
    """Makes a checkpoint whenever about 4 MB have been committed since the last one.

    Args:
        writer: The writer's connection; used in its thread only.
        open_connection: Opens another one. It may raise `sqlite3.Error`.
    """

    def __init__(self, writer: sqlite3.Connection, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._writer = writer
        self._open_connection = open_connection
        self._pages = 0  # about so many were committed since the last one was asked for
        self._log_is_long = False
        self._is_due = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="journal-checkpoints", daemon=True)
        self._thread.start()

    def committed(self, writes: int, size: int, seconds: float) -> None:  # noqa: ARG002 - it is a `CommitListener`
        """Counts a commit of so many writes and bytes. Called by the writer's thread."""
        self._pages += _PAGES_PER_COMMIT + writes + size // _PAGE_BYTES
        if self._log_is_long:
            self._log_is_long = (
                self._checkpoint(self._writer) <= 0
            )  # the other thread may be about to make one more
        elif self._pages >= _PAGES:
            self._pages = 0
            self._is_due.set()

    def close(self) -> None:
        """Ends the thread, after the checkpoint that it makes. Blocks."""
        self._closing = True
        self._is_due.set()
        self._thread.join()

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
            self._log_is_long = self._checkpoint(connection) >= _LONG_LOG
        if connection is not None:
            connection.close()

    def _checkpoint(self, connection: sqlite3.Connection) -> int:
        """Makes a checkpoint; gives the pages of the log, or less than 1 where it was not possible: the log grows until the next one."""
        try:
            _, pages, _ = connection.execute(_CHECKPOINT).fetchone()
        except sqlite3.Error as error:
            _logger.warning("a checkpoint of the journal has failed: %s", error)
            return 0
        return int(pages)
