"""The read-only journal, for a file that cannot be written: stored tasks are served, new ones refused."""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Self

from flowgram_core.concurrency.gil_handoff import GILHandoff
from flowgram_core.journal.connection import Synchronous, check_readable, open_unwritable, resolve
from flowgram_core.journal.encryption import Keys
from flowgram_core.journal.errors import DuplicateRequest, JournalUnavailable
from flowgram_core.journal.file_lock import FileLock
from flowgram_core.journal.interface import Journal, RemovedTask, ServerSession, TaskRecord, Write
from flowgram_core.journal.migrations import UnknownVersion
from flowgram_core.journal.reader_pool import ReaderPool
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.sqlite_errors import cannot_write, unavailable
from flowgram_core.journal.sqlite_reads import SQLiteReads
from flowgram_core.journal.stored_contents import ContentReader, check_keys
from flowgram_core.journal.write_ahead_log import check_log, read_state

_logger = logging.getLogger(__name__)


async def open_journal(
    path: Path, *, synchronous: Synchronous = "normal", keys: Keys | None = None
) -> Journal:
    """Opens the journal in a file; an existing one that cannot be written is opened read-only.

    Args:
        path: The file; see `SQLiteJournal.open`.
        synchronous: What a commit survives.
        keys: Of the encryption of contents; see `SQLiteJournal.open`.

    Raises:
        JournalUnavailable: It can be neither written nor read, is in use by another server, damaged, not a journal, or of
            an unsupported version.
    """
    try:
        return await SQLiteJournal.open(path, synchronous=synchronous, keys=keys)
    except JournalUnavailable as error:
        if not cannot_write(error.__cause__) or not await asyncio.to_thread(_has_content, path):
            raise
        if isinstance(error.__cause__, OSError):  # raised before the log was checked
            await asyncio.to_thread(check_log, path)
        journal = await ReadOnlyJournal.open(path, error, keys=keys)
        _logger.error(  # noqa: TRY400 - no defect
            "%s. What is stored is served; new tasks are refused, and unfinished ones stand still until the next start",
            error,
        )
        return journal


class ReadOnlyJournal(SQLiteReads):
    """A `Journal` in a file that cannot be written. `open` makes one; it belongs to the event loop that called it.

    Nobody else may write the file meanwhile: where a lock can exist, it is held.
    """

    def __init__(
        self, path: Path, lock: FileLock, readers: ReaderPool, contents: ContentReader, reason: str
    ) -> None:
        super().__init__(readers, path, contents, writable=False)
        self._lock = lock
        self._reason = reason

    @classmethod
    async def open(cls, path: Path, reason: Exception, *, readers: int = 2, keys: Keys | None = None) -> Self:
        """Opens a file that cannot be written.

        Args:
            path: The file.
            reason: Why it cannot be written: the error that commits get.
            readers: Number of threads that read.
            keys: Those that contents may be encrypted with.

        Raises:
            JournalUnavailable: It cannot be read either, is in use by another server, damaged, not a journal, or of
                another version.
        """
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(cls._open, path, reason, readers, keys, loop)

    @classmethod
    def _open(
        cls,
        path: Path,
        reason: Exception,
        readers: int,
        keys: Keys | None,
        loop: asyncio.AbstractEventLoop,
    ) -> Self:
        path = resolve(path)
        lock = FileLock(path, writes=False)
        try:
            log = read_state(path)
            connect = partial(open_unwritable, with_log=bool(log and log.readable and not log.outdated))
            with closing(connect(path)) as connection:
                check_readable(connection)
                check_keys(connection, path, keys, writable=False)
            pool = ReaderPool(path, readers, GILHandoff(loop), connect)
            return cls(path, lock, pool, ContentReader(keys), str(reason))
        except BaseException as error:
            lock.release()
            if isinstance(error, UnknownVersion):
                raise JournalUnavailable(f"the file {path} {error}") from error
            if isinstance(error, sqlite3.Error | OSError):
                raise unavailable(path, error) from error
            raise

    def commit(self, write: Write) -> "asyncio.Future[None]":
        """Refuses. See `Journal.commit`."""
        self._check_open()
        return asyncio.ensure_future(self._refuse(write))

    async def _refuse(self, write: Write) -> None:
        accept = write.accept
        if accept is not None and await self.find_request(accept.request_id, accept.namespace) is not None:
            # The caller answers with the task that was accepted before.
            raise DuplicateRequest(accept.request_id)
        raise JournalUnavailable(f"task {write.task_id!r} cannot be written: {self._reason}")

    async def unfinished(self, *, after: int = 0, limit: int | None = None) -> list[TaskRecord]:  # noqa: ARG002 - given by the interface
        """Empty: a task that continued would have to be written. See `Journal.unfinished`."""
        self._check_open()
        return []

    async def remove_finished(
        self,
        *,
        ended_before: int | None,  # noqa: ARG002 - given by the interface
        keep_newest: int | None,  # noqa: ARG002 - given by the interface
        limit: int,  # noqa: ARG002 - given by the interface
    ) -> list[RemovedTask]:
        """Removes nothing. See `Journal.remove_finished`."""
        self._check_open()
        return []

    async def begin_session(self, at: int) -> list[ServerSession]:  # noqa: ARG002 - given by the interface
        """Empty: no task runs here. See `Journal.begin_session`."""
        self._check_open()
        return []

    async def extend_session(self, session: ServerSession) -> None:  # noqa: ARG002 - given by the interface
        """Records nothing. See `Journal.extend_session`."""
        self._check_open()

    async def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:  # noqa: ARG002 - given by the interface
        """Empty: no task runs here. See `Journal.record_crashes`."""
        self._check_open()
        return {}

    def _close(self) -> None:
        super()._close()
        self._lock.release()


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
