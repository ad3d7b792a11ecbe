"""The reading half of a journal in a SQLite file, shared by the writable and the read-only one."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from flowgram_core.journal import queries
from flowgram_core.journal.checkpoints import PAGE_BYTES
from flowgram_core.journal.errors import JournalClosed
from flowgram_core.journal.interface import Batch, TaskRecord, Usage
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.journal.reader_pool import ReaderPool
from flowgram_core.journal.stored_contents import ContentReader

_T = TypeVar("_T")


class SQLiteReads:
    """The read methods of a `Journal` on a pool of readers, until it is closed."""

    def __init__(self, readers: ReaderPool, path: Path, contents: ContentReader, *, writable: bool) -> None:
        self._readers = readers
        self._path = path
        self._contents = contents
        self._writable = writable
        self._closing: asyncio.Task[None] | None = None

    async def task(self, task_id: str, namespace: str | None = None) -> TaskRecord | None:
        """See `Journal.task`."""
        return await self._read(queries.task, task_id, namespace, self._contents)

    async def find_request(self, request_id: str, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord | None:
        """See `Journal.find_request`."""
        return await self._read(queries.find_request, request_id, namespace, self._contents)

    async def schema(self, schema_hash: bytes) -> str | None:
        """See `Journal.schema`.

        Raises:
            JournalDamaged: The text is not what was written.
        """
        return await self._read(queries.schema, schema_hash, self._contents)

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        """See `Journal.read`.

        Raises:
            JournalDamaged: The log is not what was written.
        """
        return await self._read(queries.read, task_id, after_sequence, max_bytes, self._contents)

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[TaskRecord]:
        """See `Journal.tasks`. Unreadable tasks are logged and left out."""
        return await self._read(queries.tasks, namespace, limit, before, statuses, dict(labels))

    async def usage(self) -> Usage:
        """See `Journal.usage`. The write-ahead log counts."""
        return await self._read(_usage, self._path, self._writable, self._pages_to_copy())

    async def signing_key(self) -> bytes:
        """See `Journal.signing_key`."""
        return await self._read(queries.signing_key)

    async def close(self) -> None:
        """See `Journal.close`."""
        if self._closing is None:
            self._closing = asyncio.create_task(asyncio.to_thread(self._close))
        await asyncio.shield(self._closing)

    def _close(self) -> None:
        """Closes everything. Blocks; runs in a thread."""
        self._readers.close()

    def _check_open(self) -> None:
        if self._closing is not None:
            raise JournalClosed

    def _pages_to_copy(self) -> int | None:
        """See `Checkpointer.pages_to_copy`."""
        return None

    async def _read(self, query: Callable[..., _T], *args: object) -> _T:
        self._check_open()
        return await self._readers.run(query, *args)


def _usage(connection: sqlite3.Connection, path: Path, writable: bool, pages_to_copy: int | None) -> Usage:
    log_bytes, free_bytes = 0, None
    with suppress(OSError):  # there is none
        log_bytes = path.with_name(path.name + "-wal").stat().st_size
    if (
        pages_to_copy is not None
    ):  # the file keeps its size; as free pages of the database, what was copied is used again
        log_bytes = min(log_bytes, pages_to_copy * PAGE_BYTES)
    with suppress(OSError):
        free_bytes = shutil.disk_usage(path.parent).free
    return Usage(
        queries.used_bytes(connection) + log_bytes,
        free_bytes,
        writable,
        queries.used_bytes_by_namespace(connection),
    )
