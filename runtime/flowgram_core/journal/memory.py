"""The journal in memory: the same semantics as on disk, lost when the process ends."""

import asyncio
import heapq
import secrets
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from flowgram_core.journal.errors import DuplicateRequest, JournalClosed, WriteRejected
from flowgram_core.journal.interface import (
    Batch,
    NewTask,
    RemovedTask,
    ServerSession,
    TaskRecord,
    Usage,
    Write,
)
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.journal.write_validation import (
    PENDING,
    PROCESSING,
    UNFINISHED,
    TaskState,
    size_of_content,
    state_after,
)

KEY_BYTES: Final = 32

_ACCEPTED = TaskState(PENDING, 0)
_last_sequence = attrgetter("last_sequence")


@dataclass(slots=True)
class _Task:
    order: int
    accepted: NewTask
    log: list[Batch] = field(default_factory=list)
    state: TaskState = _ACCEPTED
    start_time: int | None = None
    end_time: int | None = None
    result: bytes | None = None
    size: int = 0

    def record(self) -> TaskRecord:
        return self.accepted.record(self.order).moved(
            self.state.status, self.start_time, self.end_time, self.state.last_sequence, self.result
        )


class MemoryJournal:
    """A `Journal` that is kept in memory, for tests and for servers whose tasks need not survive them."""

    def __init__(self) -> None:
        self._tasks: dict[str, _Task] = {}  # in the order of acceptance
        self._by_namespace: dict[str, dict[str, _Task]] = {}  # the same, apart
        self._requests: dict[tuple[str, str], str] = {}  # by namespace and request id
        self._sizes: Counter[str] = Counter()  # by namespace
        self._key = secrets.token_bytes(KEY_BYTES)
        # A heap of (end time, order, id): the task to remove first is on top.
        self._finished: list[tuple[int, int, str]] = []
        self._schemas: dict[bytes, str] = {}
        self._users: Counter[bytes] = Counter()  # of a schema: how many tasks
        self._sessions: list[ServerSession] = []
        self._crashes: dict[str, tuple[int, int, int]] = {}  # last event, session, and count
        self._accepted = 0
        self._closed = False

    def commit(self, write: Write) -> "asyncio.Future[None]":
        """See `Journal.commit`."""
        self._check_open()
        loop = asyncio.get_running_loop()
        committed: asyncio.Future[None] = loop.create_future()
        try:
            self._apply(write)
        except WriteRejected as error:
            committed.set_exception(error)
        else:
            loop.call_soon(_settle, committed)  # as with a real journal, others run before the caller goes on
        return committed

    async def task(self, task_id: str, namespace: str | None = None) -> TaskRecord | None:
        """See `Journal.task`."""
        self._check_open()
        task = self._tasks.get(task_id)
        return None if task is None or namespace not in {None, task.accepted.namespace} else task.record()

    async def find_request(self, request_id: str, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord | None:
        """See `Journal.find_request`."""
        self._check_open()
        task_id = self._requests.get((namespace, request_id))
        return None if task_id is None else self._tasks[task_id].record()

    async def schema(self, schema_hash: bytes) -> str | None:
        """See `Journal.schema`."""
        self._check_open()
        return self._schemas.get(schema_hash)

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        """See `Journal.read`."""
        self._check_open()
        task = self._tasks.get(task_id)
        log = [] if task is None else task.log
        batches: list[Batch] = []
        size = 0
        for index in range(bisect_right(log, after_sequence, key=_last_sequence), len(log)):
            batch = log[index]
            size += len(batch.events)
            if batches and size > max_bytes:
                break
            batches.append(batch)
        return batches

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[TaskRecord]:
        """See `Journal.tasks`."""
        self._check_open()
        page: list[TaskRecord] = []
        for task in reversed(self._by_namespace.get(namespace, {}).values()):
            if len(page) >= limit:
                break
            if before is not None and task.order >= before:
                continue
            if statuses and task.state.status not in statuses:
                continue
            if labels.items() <= task.accepted.labels.items():
                page.append(task.record()._replace(inputs="", result=None))
        return page

    async def unfinished(self, *, after: int = 0, limit: int | None = None) -> list[TaskRecord]:
        """See `Journal.unfinished`."""
        self._check_open()
        records = [
            task.record()._replace(inputs="", result=None)
            for task in self._tasks.values()
            if task.state.status in UNFINISHED and task.order > after
        ]
        return records[:limit]

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        """See `Journal.remove_finished`."""
        self._check_open()
        finished = self._finished
        removed: list[RemovedTask] = []
        while finished and len(removed) < limit:
            too_many = keep_newest is not None and len(finished) > keep_newest
            if not too_many and (ended_before is None or finished[0][0] >= ended_before):
                break
            _, _, task_id = heapq.heappop(finished)
            removed.append(RemovedTask(task_id, self._remove(task_id)))
        await asyncio.sleep(0)  # as with a real journal, others run before the caller goes on
        return removed

    async def begin_session(self, at: int) -> list[ServerSession]:
        """See `Journal.begin_session`."""
        self._check_open()
        running = [task for task in self._tasks.values() if task.state.status == PROCESSING]
        needed = min((task.start_time for task in running if task.start_time is not None), default=None)
        while self._sessions and (needed is None or self._sessions[0].alive <= needed):
            del self._sessions[0]
        former = list(self._sessions)
        self._sessions.append(ServerSession(at, at))
        return former

    async def extend_session(self, session: ServerSession) -> None:
        """See `Journal.extend_session`."""
        self._check_open()
        if not self._sessions or self._sessions[-1].began != session.began:
            self._sessions.append(session)
        elif session.alive > self._sessions[-1].alive:
            self._sessions[-1] = session

    async def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
        """See `Journal.record_crashes`."""
        self._check_open()
        unfinished = {
            task_id: task.state.last_sequence
            for task_id, task in self._tasks.items()
            if task.state.status in UNFINISHED
        }
        for task_id in task_ids:
            if task_id in unfinished:
                last_sequence, counted, count = self._crashes.get(task_id, (-1, -1, 0))
                if counted != session:
                    count = count + 1 if last_sequence == unfinished[task_id] else 1
                    self._crashes[task_id] = (unfinished[task_id], session, count)
        return {
            task_id: count
            for task_id, (last_sequence, _, count) in self._crashes.items()
            if unfinished.get(task_id) == last_sequence
        }

    async def usage(self) -> Usage:
        """See `Journal.usage`. Counts texts and events, not the objects around them."""
        self._check_open()
        return Usage(self._sizes.total(), None, by_namespace=dict(self._sizes))

    async def signing_key(self) -> bytes:
        """See `Journal.signing_key`."""
        self._check_open()
        return self._key

    async def close(self) -> None:
        """See `Journal.close`."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise JournalClosed

    def _apply(self, write: Write) -> None:
        accept = write.accept
        if accept is not None and (accept.namespace, accept.request_id) in self._requests:
            raise DuplicateRequest(accept.request_id)
        task = self._tasks.get(write.task_id)
        state = state_after(None if task is None else task.state, write)
        if accept is not None:
            self._accepted += 1
            task = self._tasks[write.task_id] = _Task(self._accepted, accept)
            self._by_namespace.setdefault(accept.namespace, {})[write.task_id] = task
            self._schemas.setdefault(accept.schema_hash, accept.schema)
            self._users[accept.schema_hash] += 1
            if accept.request_id:
                self._requests[accept.namespace, accept.request_id] = accept.task_id
        assert task is not None  # noqa: S101 - `state_after` has refused writes about unknown tasks
        before = task.size
        task.state = state
        task.log.extend(write.batches)
        task.size += size_of_content(write)
        self._sizes[task.accepted.namespace] += task.size - before
        if write.started is not None:
            task.start_time = write.started
        if write.finish is not None:
            task.end_time, task.result = write.finish.end_time, write.finish.result
            heapq.heappush(self._finished, (task.end_time, task.order, write.task_id))

    def _remove(self, task_id: str) -> str:
        """Removes a task, and says whose it was."""
        task = self._tasks.pop(task_id)
        accepted = task.accepted
        namespace = accepted.namespace
        del self._by_namespace[namespace][task_id]
        self._sizes[namespace] -= task.size
        if not self._by_namespace[namespace]:
            del self._by_namespace[namespace], self._sizes[namespace]
        self._crashes.pop(task_id, None)
        self._requests.pop((namespace, accepted.request_id), None)
        self._users[accepted.schema_hash] -= 1
        if not self._users[accepted.schema_hash]:
            del self._users[accepted.schema_hash], self._schemas[accepted.schema_hash]
        return namespace


def _settle(committed: "asyncio.Future[None]") -> None:
    if not committed.done():  # or its waiter was cancelled
        committed.set_result(None)
