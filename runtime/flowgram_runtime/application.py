"""The application: runs, shows, cancels and remembers tasks. What a server, of whatever kind, is a thin layer over."""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from flowgram_runtime.calls import CallSlots
from flowgram_runtime.clock import Clock
from flowgram_runtime.engine.execution import Execution
from flowgram_runtime.engine.program import Program
from flowgram_runtime.engine.status import Status
from flowgram_runtime.errors import (
    InvalidWorkflow,
    RequestConflict,
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_runtime.feed import OutputDelta, join
from flowgram_runtime.host import Codec, Services, TaskHost
from flowgram_runtime.journal.errors import DuplicateRequest
from flowgram_runtime.journal.port import Batch, Journal, NewTask, TaskRecord
from flowgram_runtime.library import Library
from flowgram_runtime.modeling.errors import Problem
from flowgram_runtime.modeling.json_text import dumps
from flowgram_runtime.nodes.registry import Registry
from flowgram_runtime.recovery import Diverged, give_up, rebuild
from flowgram_runtime.retention import retain
from flowgram_runtime.secrets import Secrets
from flowgram_runtime.settings import RuntimeSettings

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 512 * 1024
_RECOVER_PAGE: Final = 200
_RETRY_AFTER: Final = 1.0


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """What somebody wants to have run.

    Attributes:
        schema: The text of the workflow schema.
        inputs: JSON text of the inputs; empty means `{}`.
        request_id: Makes a retry safe; empty for none.
        timeout: How long the task may run, in microseconds; None for the default.
        labels: Free labels to find it by.
    """

    schema: str
    inputs: str = ""
    request_id: str = ""
    timeout: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def content_hash(self) -> bytes:
        """Says whether two requests ask for the same."""
        content = dumps([self.schema, self.inputs, self.timeout, sorted(self.labels.items())])
        return hashlib.sha256(content.encode()).digest()


class Heartbeat:
    """Given to a watcher when nothing else was for a while."""


class Application:
    """The tasks of one process.

    Attributes:
        node_types: The node types that workflows may use.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        codec: Codec,
        registry: Registry,
        settings: RuntimeSettings,
        clock: Clock,
        new_task_id: Callable[[], str],
    ) -> None:
        self.node_types = registry.names
        self._journal = journal
        self._codec = codec
        self._settings = settings
        self._clock = clock
        self._new_task_id = new_task_id
        self._library = Library(registry.node_types, settings)
        self._services = Services(
            journal=journal,
            codec=codec,
            clock=clock,
            executors=registry.executors,
            settings=settings,
            secrets=Secrets(settings.secret_names),
            slots=CallSlots(settings.max_calls, settings.max_calls_by_type),
        )
        self._hosts: dict[str, TaskHost] = {}
        self._drives: dict[TaskHost, asyncio.Task[None]] = {}
        self._waiting: deque[TaskHost] = deque()
        self._running = 0
        self._closing = asyncio.Event()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Application"]:
        """Goes on with the tasks that a former process left; on leaving, stops where it is (see `drain`)."""
        await self._recover()
        retention = asyncio.create_task(retain(self._journal, self._settings, self._clock), name="retention")
        try:
            yield self
        finally:
            self._closing.set()
            retention.cancel()
            drives = list(self._drives.values())
            for drive in drives:
                drive.cancel()
            await asyncio.wait([retention, *drives])

    async def drain(self, grace: float) -> None:
        """Takes no new tasks, lets those that run end within so many seconds, and ends all watches.

        What has not ended then goes on after the next start.
        """
        self._closing.set()
        for host in list(self._hosts.values()):
            host.feed.nudge()
        if self._drives and grace > 0:
            await asyncio.wait(list(self._drives.values()), timeout=grace)

    async def run(self, request: TaskRequest) -> TaskRecord:
        """Accepts a task and starts it, or lets it wait for its turn; returns once it is durable.

        The record is of that moment: a small workflow may have ended in it.

        Raises:
            InvalidWorkflow: The schema or the inputs are not valid.
            RequestConflict: The request id was used before with a different request.
            TooManyTasks: Too many tasks run and wait already.
            ShuttingDown: No new tasks are taken.
        """
        program = self._library.program(request.schema)
        inputs = self._library.inputs(program, request.inputs)
        full = self._running >= self._settings.max_running_tasks
        if self._closing.is_set() or (full and len(self._waiting) >= self._settings.max_waiting_tasks):
            return await self._refuse(request)
        task = self._new_task(request, program)
        execution = Execution(program, inputs, self._settings.limits)
        host = TaskHost(_accepted(task), execution, self._services, task)
        self._drive(host)
        if full:
            self._waiting.append(host)
            host.queue()
        else:
            self._running += 1
            host.start()
        try:
            await asyncio.shield(host.accepted)
        except DuplicateRequest:
            return await self._same_request(request)
        return host.record

    def validate(self, schema: str, inputs: str) -> tuple[Problem, ...]:
        """All problems of a schema, or, if it has none, of the inputs."""
        try:
            self._library.inputs(self._library.program(schema), inputs)
        except InvalidWorkflow as error:
            return error.problems
        return ()

    async def task(self, task_id: str) -> TaskRecord:
        """The task as it is now. Raises `TaskNotFound`."""
        host = self._hosts.get(task_id)
        if host is not None and host.accepted.done():
            return host.record
        record = await self._journal.task(task_id)
        if record is None:
            raise TaskNotFound(task_id)
        return record

    async def wait(self, task_id: str) -> TaskRecord:
        """The task once it has terminated. Raises `TaskNotFound`, and `ShuttingDown` if that comes first."""
        while True:
            host = self._hosts.get(task_id)
            record = await self.task(task_id) if host is None else host.record
            if Status(record.status).terminated:
                return record
            if self._closing.is_set() or host is None:
                raise ShuttingDown
            await host.feed.changed(self._clock)

    async def cancel(self, task_id: str, reason: str) -> bool:
        """Stops a task, and returns when its calls have ended.

        True if this call did it, False if the task had ended, or another call stopped it. Raises `TaskNotFound`.
        """
        host = self._hosts.get(task_id)
        if host is None:
            await self.task(task_id)
            return False
        did = host.cancel(reason)
        await asyncio.wait([self._drives[host]])
        return did and host.record.status == Status.CANCELED

    async def tasks(
        self, *, limit: int, before: int | None, statuses: frozenset[int], labels: Mapping[str, str]
    ) -> list[TaskRecord]:
        """A page of tasks, newest first: those with an `order` below `before` that fit."""
        return await self._journal.tasks(limit=limit, before=before, statuses=statuses, labels=labels)

    async def schema(self, task_id: str) -> str:
        """The schema of a task. Raises `TaskNotFound`."""
        schema = await self._journal.schema((await self.task(task_id)).schema_hash)
        if schema is None:
            raise TaskNotFound(task_id)
        return schema

    async def log(self, task_id: str) -> list[Batch]:
        """All batches of a task that are durable now. Raises `TaskNotFound`."""
        record = await self.task(task_id)
        batches: list[Batch] = []
        while (after := batches[-1].last_sequence if batches else 0) < record.last_sequence:
            more = await self._journal.read(task_id, after, _READ_BYTES)
            if not more:
                raise TaskNotFound(task_id)
            batches += more
        return batches

    async def watch(
        self, task_id: str, after_sequence: int, *, deltas: bool = False, heartbeat: float | None = None
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        """The log of a task after a sequence, then live, until the task has terminated.

        Args:
            task_id: The task.
            after_sequence: The last event that the watcher has seen; the first batch may begin before it. Batches that
                are there already come joined, up to a bounded size.
            deltas: Whether to give pieces of outputs as they arrive.
            heartbeat: Give a heartbeat after so many seconds without anything else.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            SequenceOutOfRange: The log does not go so far.
            ShuttingDown: The service ends before the task.
        """
        record = await self.task(task_id)
        if after_sequence > record.last_sequence:
            raise SequenceOutOfRange(after_sequence, record.last_sequence)
        host = self._hosts.get(task_id)
        cursor = after_sequence
        if host is None:
            while cursor < record.last_sequence:
                batch = await self._read_on(task_id, cursor)
                yield batch
                cursor = batch.last_sequence
            if not Status(record.status).terminated:
                raise ShuttingDown
            return
        feed = host.feed
        reader = feed.open_deltas() if deltas else None
        try:
            while True:
                while cursor < feed.last_sequence:
                    recent = feed.since(cursor)
                    batch = await self._read_on(task_id, cursor) if recent is None else join(recent)
                    yield batch
                    cursor = batch.last_sequence
                for delta in reader.take() if reader is not None else ():
                    yield delta
                if cursor < feed.last_sequence:
                    continue
                if Status(host.record.status).terminated:
                    return
                if feed.ended or self._closing.is_set():
                    raise ShuttingDown
                if (reader is None or not reader.pending) and not await feed.changed(self._clock, heartbeat):
                    yield Heartbeat()
        finally:
            if reader is not None:
                feed.close_deltas(reader)

    async def _read_on(self, task_id: str, after_sequence: int) -> Batch:
        """What the journal has after a sequence, up to a bounded size, as one batch."""
        batches = await self._journal.read(task_id, after_sequence, _READ_BYTES)
        if not batches:
            raise TaskNotFound(task_id)
        return join(batches)

    def _new_task(self, request: TaskRequest, program: Program) -> NewTask:
        default = round(self._settings.default_timeout * 1e6) or None
        return NewTask(
            task_id=self._new_task_id(),
            create_time=self._clock.now(),
            schema_hash=program.document.digest,
            schema=request.schema,
            inputs=request.inputs or "{}",
            request_id=request.request_id,
            request_hash=request.content_hash() if request.request_id else b"",
            timeout=default if request.timeout is None else request.timeout,
            labels=dict(request.labels),
        )

    def _drive(self, host: TaskHost) -> None:
        self._hosts[host.task_id] = host
        drive = asyncio.create_task(host.run(), name=host.task_id)
        self._drives[host] = drive
        drive.add_done_callback(lambda done: self._ended(host, done))

    def _ended(self, host: TaskHost, drive: asyncio.Task[None]) -> None:
        del self._drives[host]
        if not drive.cancelled() and (error := drive.exception()) is not None:
            _log.error("a task could not be driven on", exc_info=error, extra={"task_id": host.task_id})
        del self._hosts[host.task_id]
        try:
            self._waiting.remove(host)
        except ValueError:
            self._running -= 1
        while (
            self._waiting and self._running < self._settings.max_running_tasks and not self._closing.is_set()
        ):
            self._running += 1
            self._waiting.popleft().start()

    async def _refuse(self, request: TaskRequest) -> TaskRecord:
        """Refuses a new task; a request that was accepted before is answered all the same."""
        if request.request_id and await self._journal.find_request(request.request_id) is not None:
            return await self._same_request(request)
        if self._closing.is_set():
            raise ShuttingDown
        raise TooManyTasks(self._running, len(self._waiting), _RETRY_AFTER)

    async def _same_request(self, request: TaskRequest) -> TaskRecord:
        record = await self._journal.find_request(request.request_id)
        if record is None or record.request_hash != request.content_hash():
            raise RequestConflict(request.request_id)
        return await self.task(record.task_id)

    async def _recover(self) -> None:
        """Rebuilds every task that has not ended, oldest first, and lets it go on."""
        after = 0
        while records := await self._journal.unfinished(after=after, limit=_RECOVER_PAGE):
            for record in records:
                await self._go_on(record)
            after = records[-1].order
        self._start_waiting()

    async def _go_on(self, record: TaskRecord) -> None:
        try:
            execution = await rebuild(
                record, self._library, self._settings.limits, self._journal, self._codec
            )
        except Diverged as error:
            _log.error("a task cannot be rebuilt: %s", error, extra={"task_id": record.task_id})
            reason = f"Task cannot go on after a restart: {error}"
            await give_up(record, reason, self._clock.now(), self._journal, self._codec)
            return
        host = TaskHost(record, execution, self._services, None)
        self._drive(host)
        if record.status == Status.PENDING:
            self._waiting.append(host)
        else:
            self._running += 1

    def _start_waiting(self) -> None:
        while (
            self._waiting and self._running < self._settings.max_running_tasks and not self._closing.is_set()
        ):
            self._running += 1
            self._waiting.popleft().start()


def _accepted(task: NewTask) -> TaskRecord:
    """The record of a task that is about to be accepted."""
    return TaskRecord(
        task_id=task.task_id,
        create_time=task.create_time,
        inputs=task.inputs,
        schema_hash=task.schema_hash,
        labels=task.labels,
        timeout=task.timeout,
        status=Status.PENDING,
        start_time=None,
        end_time=None,
        last_sequence=0,
        result=None,
        order=0,
        request_hash=task.request_hash,
    )
