"""The journal in a SQLite file."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from flowgram_core.concurrency.gil_handoff import GILHandoff
from flowgram_core.journal import queries, retention
from flowgram_core.journal.checkpoints import Checkpointer
from flowgram_core.journal.connection import Synchronous, open_checkpointer, open_writer, resolve
from flowgram_core.journal.encryption import Keys, Sealer
from flowgram_core.journal.file_lock import FileLock
from flowgram_core.journal.interface import RemovedTask, ServerSession, TaskRecord, Write
from flowgram_core.journal.reader_pool import ReaderPool
from flowgram_core.journal.sqlite_errors import unavailable
from flowgram_core.journal.sqlite_reads import SQLiteReads
from flowgram_core.journal.stored_contents import ContentReader, check_keys
from flowgram_core.journal.write_groups import Writer
from flowgram_core.journal.writer import Action, CommitListener, WriterThread


class SQLiteJournal(SQLiteReads):
    """A `Journal` in a file. `open` makes one; it belongs to the event loop that called it.

    Group commit: all writes that are submitted while a transaction runs go into the next one. Under load a transaction
    has many writes; without load a write waits only for its own.
    """

    def __init__(
        self,
        path: Path,
        lock: FileLock,
        connection: sqlite3.Connection,
        writing: WriterThread,
        checkpointer: Checkpointer,
        readers: ReaderPool,
        contents: ContentReader,
    ) -> None:
        super().__init__(readers, path, contents, writable=True)
        self._lock = lock
        self._connection = connection
        self._writing = writing
        self._checkpointer = checkpointer

    @classmethod
    async def open(
        cls, path: Path, *, synchronous: Synchronous = "normal", readers: int = 2, keys: Keys | None = None
    ) -> Self:
        """Opens the journal, and creates it (mode 0600, its directory 0700) if it is missing.

        Args:
            path: The file. `<path>.lock`, `-wal` and `-shm` lie beside it.
            synchronous: "normal": commits survive the death of the process; "full": the loss of power too.
            readers: Number of threads that read.
            keys: Encrypt contents with the first one, and decrypt with all; None: contents are stored as they are.

        Raises:
            JournalUnavailable: It is in use by another server, cannot be read or written, is damaged, not a journal,
                from a newer version, or encrypted with another key than the one of that name.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(cls._open, path, synchronous, readers, keys, loop)

    @classmethod
    def _open(
        cls,
        path: Path,
        synchronous: Synchronous,
        readers: int,
        keys: Keys | None,
        loop: asyncio.AbstractEventLoop,
    ) -> Self:
        path = resolve(path)
        handoff = GILHandoff(loop)
        lock = FileLock(path)
        try:
            connection = open_writer(path, synchronous)
            try:
                check_keys(connection, path, keys, writable=True)
                writer = Writer(connection, path, Sealer(keys) if keys else None)
                reading_threads = ReaderPool(path, readers, handoff)
            except BaseException as error:
                connection.close()
                if isinstance(error, sqlite3.Error):
                    raise unavailable(path, error) from error
                raise
        except BaseException:
            lock.release()
            raise
        checkpointer = Checkpointer(connection, partial(open_checkpointer, path))
        writing = WriterThread(writer, path, handoff, loop)
        writing.listen(checkpointer.committed)
        return cls(path, lock, connection, writing, checkpointer, reading_threads, ContentReader(keys))

    def commit(self, write: Write) -> "asyncio.Future[None]":
        """See `Journal.commit`."""
        if self._closing is not None:
            self._check_open()
        return self._writing.submit(write)

    async def unfinished(self, *, after: int = 0, limit: int | None = None) -> list[TaskRecord]:
        """See `Journal.unfinished`. Unreadable tasks are logged and left out."""
        return await self._read(queries.unfinished, after, limit)

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        """See `Journal.remove_finished`. Runs in small transactions, between which others commit."""
        removed: list[RemovedTask] = []
        last = await self._read(retention.last_due, ended_before, keep_newest)
        while last is not None and len(removed) < limit:
            size = min(retention.SLICE, limit - len(removed))
            tasks = await self._remove(partial(Writer.remove_finished, last=last, limit=size))
            removed += tasks
            if len(tasks) < size:
                break
        while await self._remove(Writer.remove_logs):
            pass
        while await self._remove(Writer.free_pages, retention.PAGES):
            pass
        return removed

    def _remove(self, remove: Action, pages: int = retention.PAGES_PER_SLICE) -> "asyncio.Future[Any]":
        def act(writer: Writer) -> Any:
            removed = remove(writer)
            self._checkpointer.changed(pages)
            return removed

        return self._write(act)

    async def begin_session(self, at: int) -> list[ServerSession]:
        """See `Journal.begin_session`."""
        sessions: list[ServerSession] = await self._write(partial(Writer.begin_session, at=at))
        return sessions

    async def extend_session(self, session: ServerSession) -> None:
        """See `Journal.extend_session`."""
        await self._write(partial(Writer.extend_session, session=session))

    async def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
        """See `Journal.record_crashes`."""
        counts: Mapping[str, int] = await self._write(
            partial(Writer.record_crashes, task_ids=task_ids, session=session)
        )
        return counts

    async def forget_crashes(self, task_id: str) -> None:
        """Sets the count of a task's crashes back to none."""
        await self._write(partial(Writer.forget_crashes, task_id=task_id))

    def listen(self, on_commit: CommitListener) -> None:
        """Lets a listener know of each group of writes that is committed from now on."""
        self._writing.listen(on_commit)

    async def close(self) -> None:
        """See `Journal.close`."""
        if self._closing is None:
            self._writing.finish()
        await super().close()

    def _close(self) -> None:
        super()._close()
        self._writing.join()
        self._checkpointer.close()
        # The last connection that closes checkpoints the write-ahead log and removes it.
        self._connection.close()
        self._lock.release()

    def _pages_to_copy(self) -> int | None:
        return self._checkpointer.pages_to_copy

    def _write(self, work: Action) -> "asyncio.Future[Any]":
        self._check_open()
        return self._writing.submit(work)
