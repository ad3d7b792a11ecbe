"""The reader pool: a few threads, each with its own connection, that run queries beside the writer."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import LifoQueue
from typing import TypeVar

from flowgram_core.concurrency.gil_handoff import GILHandoff
from flowgram_core.journal.connection import open_reader
from flowgram_core.journal.sqlite_errors import unavailable

_T = TypeVar("_T")


class ReaderPool:
    """A few threads, each with its own connection, that run queries while the writer writes."""

    def __init__(
        self,
        path: Path,
        threads: int,
        handoff: GILHandoff,
        connect: Callable[[Path], sqlite3.Connection] = open_reader,
    ) -> None:
        """Opens the connections, each with `connect`.

        Raises:
            sqlite3.Error: They cannot be opened.
        """
        self._path = path
        self._handoff = handoff
        self._connections: LifoQueue[sqlite3.Connection] = LifoQueue()
        for _ in range(threads):
            self._connections.put(connect(path))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="journal-reader")

    async def run(self, query: Callable[..., _T], *args: object) -> _T:
        """Runs `query(connection, *args)` in a thread.

        Raises:
            JournalUnavailable: It cannot be read.
        """
        self._handoff.submitted()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query, args)
        finally:
            self._handoff.completed()

    def close(self) -> None:
        """Waits for running queries, and closes the connections. Blocks."""
        self._threads.shutdown()
        while not self._connections.empty():
            self._connections.get().close()

    def _run(self, query: Callable[..., _T], args: tuple[object, ...]) -> _T:
        connection = self._connections.get()
        try:
            return query(connection, *args)
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from error
        finally:
            self._connections.put(connection)
            self._handoff.progressed()
