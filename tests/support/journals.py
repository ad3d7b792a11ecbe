"""What tests of journals are made of: small writes, and a journal that fails on demand."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TypeVar

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import (
    Batch,
    Finish,
    Journal,
    NewTask,
    RemovedTask,
    ServerSession,
    TaskRecord,
    Usage,
    Write,
)
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

_T = TypeVar("_T")

SCHEMA = '{"nodes":[],"edges":[]}'


def new_task(task_id: str, **changes: object) -> NewTask:
    """A task with plain values where none are given."""
    values: dict[str, object] = {
        "create_time": 1_000,
        "schema": SCHEMA,
        "inputs": "{}",
        **changes,
    }
    values.setdefault("schema_hash", hash_of_schema(str(values["schema"])))
    return NewTask(task_id, **values)  # type: ignore[arg-type]  # the values are as the caller says


def batch(
    first: int, last: int | None = None, *, events: bytes = b"events", cause: str | None = None
) -> Batch:
    """A batch of events; of one event if no last one is given."""
    return Batch(first, first if last is None else last, at=2_000 + first, cause=cause, events=events)


def ids_of(removed: Sequence[RemovedTask]) -> list[str]:
    """The ids of tasks that were removed."""
    return [task.task_id for task in removed]


def accepted(task_id: str, *batches: Batch, **changes: object) -> Write:
    """A write that accepts a task, with the start of its log."""
    return Write(task_id, accept=new_task(task_id, **changes), batches=batches)


def finished(task_id: str, *, end_time: int = 9_000, status: int = 3, **changes: object) -> Write:
    """A write that accepts, runs and ends a task."""
    return Write(
        task_id,
        accept=new_task(task_id, **changes),
        batches=(batch(1, 7),),
        started=1_500,
        finish=Finish(status, end_time, b"result"),
    )


def every_call(journal: Journal) -> list[Callable[[], Awaitable[object]]]:
    """A call of each method of a journal, but for `close`."""
    session = ServerSession(1, 2)
    return [
        lambda: journal.commit(accepted("late")),
        lambda: journal.task("a"),
        lambda: journal.find_request("r", DEFAULT_NAMESPACE),
        lambda: journal.schema(b"hash"),
        lambda: journal.read("a", 0, 1),
        lambda: journal.tasks(
            limit=1, before=None, statuses=frozenset(), labels={}, namespace=DEFAULT_NAMESPACE
        ),
        journal.unfinished,
        lambda: journal.remove_finished(ended_before=None, keep_newest=0, limit=1),
        lambda: journal.begin_session(1),
        lambda: journal.extend_session(session),
        lambda: journal.record_crashes(["a"], 1),
        journal.usage,
        journal.signing_key,
    ]


def make_fifth_version(path: Path) -> None:
    """Makes a file what the fifth version had: no namespaces, and no encryption."""
    connection = sqlite3.connect(path)
    connection.execute("DROP INDEX tasks_by_status")
    connection.execute("DROP INDEX tasks_by_request")
    connection.execute("ALTER TABLE tasks DROP COLUMN namespace")
    connection.execute("ALTER TABLE removed DROP COLUMN namespace")
    connection.execute("DROP TABLE namespaces")
    connection.execute("DROP TABLE signing_keys")
    connection.execute("DROP TABLE encryption_keys")
    connection.execute("CREATE INDEX tasks_by_status ON tasks (status)")
    connection.execute(
        "CREATE UNIQUE INDEX tasks_by_request ON tasks (request_id) WHERE request_id IS NOT NULL"
    )
    connection.execute("PRAGMA user_version = 5")
    connection.close()


def make_third_version(path: Path) -> None:
    """Makes a file what the third version had: a table of lives, no crashes, and no names for people, either."""
    make_fifth_version(path)
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE lives (began INTEGER PRIMARY KEY, alive INTEGER NOT NULL)")
    connection.execute("DROP TABLE server_sessions")
    connection.execute("DROP TABLE crashes")
    connection.execute("DROP TABLE display_names")
    connection.execute("PRAGMA user_version = 3")
    connection.close()


class Fault(Enum):
    """What can happen to an operation of a journal."""

    ERROR = "it raises, and nothing was written"
    CRASH_BEFORE = "the process dies before anything is written"
    CRASH_AFTER = "the process dies when all is written, before anyone hears of it"
    CRASH_HALFWAY = "the process dies when the first half of the write's batches is written"


class FaultyJournal:
    """Passes everything on to another journal, but for the faults that a plan asks for.

    After a crash no call ever returns, as in a dead process; `crashed` says when to go on with the journal inside.
    """

    def __init__(self, inner: Journal, plan: Callable[[str, int], Fault | None]) -> None:
        """The plan is asked with an operation's name and its number (0, 1, 2 …) among all operations."""
        self.inner = inner
        self.crashed = asyncio.Event()
        self.operations = 0
        self._plan = plan

    async def _decide(self, operation: str) -> Fault | None:
        if self.crashed.is_set():
            await _never()
        number = self.operations
        self.operations += 1
        return self._plan(operation, number)

    async def _crash(self) -> None:
        self.crashed.set()
        await _never()

    async def _pass(self, operation: str, call: Callable[[], Awaitable[_T]]) -> _T:
        fault = await self._decide(operation)
        if fault is Fault.ERROR:
            raise JournalUnavailable(f"the plan lets {operation} fail")
        if fault in {Fault.CRASH_BEFORE, Fault.CRASH_HALFWAY}:
            await self._crash()
        result = await call()
        if fault is Fault.CRASH_AFTER:
            await self._crash()
        return result

    def commit(self, write: Write) -> "asyncio.Future[None]":
        return asyncio.ensure_future(self._commit(write))

    async def _commit(self, write: Write) -> None:
        fault = await self._decide("commit")
        if fault is Fault.ERROR:
            raise JournalUnavailable("the plan lets commit fail")
        if fault is Fault.CRASH_HALFWAY:
            half = write.batches[: len(write.batches) // 2]
            await self.inner.commit(Write(write.task_id, write.accept, half, write.started))
        elif fault is not Fault.CRASH_BEFORE:
            await self.inner.commit(write)
        if fault is not None:
            await self._crash()

    async def task(self, task_id: str, namespace: str | None = None) -> TaskRecord | None:
        return await self._pass("task", lambda: self.inner.task(task_id, namespace))

    async def find_request(self, request_id: str, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord | None:
        return await self._pass("find_request", lambda: self.inner.find_request(request_id, namespace))

    async def schema(self, schema_hash: bytes) -> str | None:
        return await self._pass("schema", lambda: self.inner.schema(schema_hash))

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        return await self._pass("read", lambda: self.inner.read(task_id, after_sequence, max_bytes))

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[TaskRecord]:
        return await self._pass(
            "tasks",
            lambda: self.inner.tasks(
                limit=limit, before=before, statuses=statuses, labels=labels, namespace=namespace
            ),
        )

    async def unfinished(self, *, after: int = 0, limit: int | None = None) -> list[TaskRecord]:
        return await self._pass("unfinished", lambda: self.inner.unfinished(after=after, limit=limit))

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        return await self._pass(
            "remove_finished",
            lambda: self.inner.remove_finished(
                ended_before=ended_before, keep_newest=keep_newest, limit=limit
            ),
        )

    async def begin_session(self, at: int) -> list[ServerSession]:
        return await self._pass("begin_session", lambda: self.inner.begin_session(at))

    async def extend_session(self, session: ServerSession) -> None:
        await self._pass("extend_session", lambda: self.inner.extend_session(session))

    async def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
        return await self._pass("record_crashes", lambda: self.inner.record_crashes(task_ids, session))

    async def usage(self) -> Usage:
        return await self.inner.usage()  # asked for again and again: it would be in the way of the plans

    async def signing_key(self) -> bytes:
        return await self.inner.signing_key()

    async def close(self) -> None:
        await self._pass("close", self.inner.close)


async def _never() -> None:
    await asyncio.get_running_loop().create_future()
