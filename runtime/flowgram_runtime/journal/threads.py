"""The threads of the SQLite journal: one that writes groups, a few that read."""

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from flowgram_runtime.journal.errors import JournalUnavailable
from flowgram_runtime.journal.opening import open_reader, unavailable
from flowgram_runtime.journal.port import Write
from flowgram_runtime.journal.relief import Relief
from flowgram_runtime.journal.writing import Writer

_logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_GROUP_WRITES = 256
_GROUP_BYTES = 4 << 20
"""A group that has reached one of these is committed; what else waits goes into the next."""

_FEW = (2, 0.003)
_MANY = (6, 0.008)
_COMPANY = 16
"""Where the last group had so many writes (the first number of each pair), the next one waits so many seconds (the second)
until this many have come together.

Each group costs several hand-overs between threads and the fixed part of a transaction: as much as ten small writes. Under
load the wait gathers several times as many writes per group, and is over as soon as they are enough; a lone writer never
waits. PostgreSQL's commit_delay and commit_siblings are much the same.
"""

Action = Callable[[Writer], Any]
"""Something to do with the writer between two groups."""


class _Asked(NamedTuple):
    """Something asked of the writing thread."""

    future: "asyncio.Future[Any]"
    work: Write | Action


_Answer = tuple["asyncio.Future[Any]", Any, Exception | None]


class WritingThread:
    """Applies writes in the order in which they are asked for: all that wait become one group."""

    def __init__(self, writer: Writer, path: Path, relief: Relief, loop: asyncio.AbstractEventLoop) -> None:
        self._writer = writer
        self._path = path
        self._relief = relief
        self._loop = loop
        self._waiting: deque[_Asked | None] = deque()  # added to by the loop, taken from by the thread
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._awaited = 0  # so many must wait for the loop to ring
        self._patience = 0.0
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def ask(self, work: Write | Action) -> "asyncio.Future[Any]":
        """Asks for a write, or an action.

        Returns:
            Done once the write is committed, or the action done, with what that returned; failed with a `JournalError` if
            it was not. Cancelling it stops neither.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        self._relief.ask()
        self._add(_Asked(future, work))
        return future

    def stop(self) -> None:
        """Waits until all that was asked for is done. Blocks; nothing may be asked for any more."""
        self._add(None)
        self._thread.join()

    def _add(self, asked: _Asked | None) -> None:
        self._waiting.append(asked)
        # Each ring wakes a thread, which costs more than all else here.
        if self._awaited and (asked is None or len(self._waiting) >= self._awaited):
            self._awaited = 0
            self._bell.put(None)

    def _run(self) -> None:
        while True:
            self._fetch()
            if group := self._group():
                self._patience = next((wait for size, wait in (_MANY, _FEW) if len(group) >= size), 0.0)
                self._deliver(self._commit(group))
                continue
            asked = self._waiting.popleft()
            if asked is None:
                return
            self._deliver([self._act(asked)])

    def _fetch(self) -> None:
        """Waits for something to do, and after a large group for more of it."""
        while not self._waiting:
            self._await(1, None)
        if self._patience:
            self._await(_COMPANY, self._patience)

    def _await(self, count: int, patience: float | None) -> None:
        """Waits until so many wait, at most for so many seconds; at times in vain, since a bell may ring late."""
        self._awaited = count
        if len(self._waiting) < count:
            with suppress(Empty):
                self._bell.get(timeout=patience)
        self._awaited = 0

    def _group(self) -> list[tuple["asyncio.Future[Any]", Write]]:
        group: list[tuple[asyncio.Future[Any], Write]] = []
        size = 0
        while self._waiting and len(group) < _GROUP_WRITES and size < _GROUP_BYTES:
            asked = self._waiting[0]
            if asked is None or not isinstance(asked.work, Write):
                break
            self._waiting.popleft()
            group.append((asked.future, asked.work))
            try:
                size += _size(asked.work)
            except TypeError:  # a defect, which the writer meets as well, and tells
                break
        return group

    def _commit(self, group: list[tuple["asyncio.Future[Any]", Write]]) -> list[_Answer]:
        outcomes: list[Any]
        try:
            outcomes = self._writer.apply([write for _, write in group])
        except Exception:  # the thread must live on, and each waiter hear of it
            _logger.exception("a group of writes failed")
            outcomes = [JournalUnavailable(f"the journal {self._path} failed on a write") for _ in group]
        return [(future, None, error) for (future, _), error in zip(group, outcomes, strict=True)]

    def _act(self, asked: _Asked) -> _Answer:
        assert not isinstance(asked.work, Write)  # noqa: S101 - writes go into groups
        try:
            return asked.future, asked.work(self._writer), None
        except sqlite3.Error as error:
            unusable = unavailable(self._path, error)
            unusable.__cause__ = error
            return asked.future, None, unusable
        except Exception:  # as in `_commit`
            _logger.exception("an action of the journal failed")
            return asked.future, None, JournalUnavailable(f"the journal {self._path} failed on an action")

    def _deliver(self, answers: list[_Answer]) -> None:
        self._relief.advanced()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._resolve, answers)

    def _resolve(self, answers: list[_Answer]) -> None:
        """Runs on the loop."""
        self._relief.answered(len(answers))
        for future, value, error in answers:
            if future.done():  # its waiter was cancelled
                continue
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)


class Readers:
    """A few threads, each with a connection of its own, that read while the writer writes."""

    def __init__(
        self,
        path: Path,
        threads: int,
        relief: Relief,
        connect: Callable[[Path], sqlite3.Connection] = open_reader,
    ) -> None:
        """Opens the connections, each with `connect`.

        Raises:
            sqlite3.Error: They cannot be opened.
        """
        self._path = path
        self._relief = relief
        self._connections: LifoQueue[sqlite3.Connection] = LifoQueue()
        for _ in range(threads):
            self._connections.put(connect(path))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="journal-reader")

    async def run(self, query: Callable[..., _T], *args: object) -> _T:
        """Runs `query(connection, *args)` in a thread.

        Raises:
            JournalUnavailable: It cannot be read.
        """
        self._relief.ask()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, query, args)
        finally:
            self._relief.answered()

    def close(self) -> None:
        """Waits for what is being read, and closes the connections. Blocks."""
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
            self._relief.advanced()


def _size(write: Write) -> int:
    size = sum(len(batch.events) for batch in write.batches)
    if write.accept is not None:
        size += len(write.accept.inputs) + len(write.accept.schema)
    if write.finish is not None:
        size += len(write.finish.result)
    return size
