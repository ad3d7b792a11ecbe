"""The Temporal host's front: a `TaskService` over a cluster. It holds no task: any number of them serve the same ones."""

import asyncio
import hmac
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Final

from temporalio.api.enums.v1 import WorkflowExecutionStatus
from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.errors import (
    FlowgramError,
    InvalidWorkflow,
    QuotaExceeded,
    RequestConflict,
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_core.hosting.live_log import OutputDelta, join
from flowgram_core.hosting.observation import HostStatistics, Observer
from flowgram_core.hosting.pinned_settings import PinnedSettings
from flowgram_core.hosting.program_cache import ProgramCache, Validation
from flowgram_core.hosting.quotas import Quotas
from flowgram_core.hosting.service import Heartbeat, TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.errors import JournalError, JournalUnavailable
from flowgram_core.journal.interface import Batch, NewTask, TaskRecord
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.registry import Registry
from flowgram_core.temporal.admission import Admission
from flowgram_core.temporal.cluster import Cluster, as_datetime, readable
from flowgram_core.temporal.history import payloads_of
from flowgram_core.temporal.names import REQUEST_MEMO
from flowgram_core.temporal.record import Record
from flowgram_core.temporal.settings import (
    MAX_CONTINUED_BYTES,
    MAX_HISTORY_BYTES,
    MAX_HISTORY_EVENTS,
    MAX_STEP_WORK,
    TemporalSettings,
)
from flowgram_core.temporal.task_ends import TaskEnds
from flowgram_core.temporal.task_input import Position, Shape, TaskInput
from flowgram_core.temporal.task_log import HistoryReader, TaskLog, TaskLogs
from flowgram_core.temporal.task_poll import TaskPoll
from flowgram_core.temporal.visibility import TaskLists, label_key, order_of
from flowgram_core.temporal.workflow_ids import task_id_of_request, workflow_id_of

_log = logging.getLogger(__name__)

_RUNNING: Final = WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING
_SIGNING: Final = b"flowgram signing key"


class TemporalApplication:
    """The tasks of a namespace.

    Attributes:
        runtime: The kind of host.
        node_types: The node types that workflows may use.
        signing_keys: Made of the keys that encrypt histories: so every server of the cluster has the same.
        eager: Whether a worker on the same client may begin with a task at once.
        shape: What shapes the histories of tasks that are accepted.
    """

    runtime: Final = "temporal"

    def __init__(
        self,
        *,
        cluster: Cluster,
        codec: Codec,
        registry: Registry,
        settings: RuntimeSettings,
        temporal: TemporalSettings,
        clock: Clock,
        new_task_id: Callable[[], str],
        fairness: FairScheduler | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Takes what the embedded host takes, and the cluster in place of a journal.

        Args:
            cluster: The cluster.
            codec: Encodes events and results.
            registry: The node types.
            settings: The runtime's settings; see `within_temporal`.
            temporal: The host's own settings.
            clock: Tells the time.
            new_task_id: Makes task ids.
            fairness: Shares the event loop between requests.
            observer: Is notified of the tasks that were accepted here.
        """
        self.node_types = registry.names
        # Without encryption there is nothing secret that all servers share: signatures are checksums then.
        keys = tuple(temporal.encryption_keys.values()) or (temporal.task_queue,)
        self.signing_keys = tuple(hmac.digest(key.encode(), _SIGNING, "sha256") for key in keys)
        self.eager = False
        self._cluster = cluster
        self._settings = settings
        self._clock = clock
        self._new_task_id = new_task_id
        self._fairness = fairness or FairScheduler()
        self._observer = observer
        self._programs = ProgramCache(registry.node_types, settings)
        self._pins = PinnedSettings.of(settings, registry.node_types).to_record()
        self.shape = Shape(
            step_budget=settings.step_budget,
            step_bytes=settings.step_bytes,
            history_events=temporal.history_events,
            heartbeat_timeout=round(temporal.heartbeat_timeout * 1000),
            step_work=MAX_STEP_WORK,
            continued_bytes=MAX_CONTINUED_BYTES,
            max_history_events=MAX_HISTORY_EVENTS,
            max_history_bytes=MAX_HISTORY_BYTES,
        )
        self._reader = HistoryReader(cluster, codec, self._fairness)
        self._logs = TaskLogs(cluster, self._reader, clock)
        self._ends = TaskEnds(cluster)
        self._lists = TaskLists(cluster, clock)
        self._poll = TaskPoll(self._lists.changed_since, clock, self._check_open)
        quotas = Quotas(settings.quotas)
        self._admission = Admission(self._lists, temporal.max_open_tasks, quotas, clock)
        self._last_create_time = 0
        self._closing = asyncio.Event()

    async def time_slice(self) -> None:
        """See `TaskService`."""
        await self._fairness.time_slice()

    def statistics(self) -> HostStatistics:
        """See `TaskService`. What runs is known to the workers and the cluster only."""
        return HostStatistics()

    async def check(self) -> None:
        """See `TaskService`."""
        await self._cluster.check()

    async def run(self, request: TaskRequest) -> TaskRecord:
        """See `TaskService`."""
        await self._fairness.time_slice()
        try:
            program = (await self._programs.prepare(request.schema, request.inputs)).program
            self._check_open()
            await self._admission.check(request.namespace)
        except (InvalidWorkflow, QuotaExceeded, ShuttingDown, TooManyTasks):
            # A request that was accepted before is answered all the same.
            if (
                request.request_id
                and (found := await self._same_request(request, missing_ok=True)) is not None
            ):
                return found
            raise
        task_id = (
            task_id_of_request(request.request_id, request.namespace)
            if request.request_id
            else self._new_task_id()
        )
        default = round(self._settings.default_timeout * 1e6) or None
        task = TaskInput(
            schema=request.schema,
            inputs=request.inputs or "{}",
            timeout=default if request.timeout is None else request.timeout,
            labels=dict(request.labels),
            create_time=self._create_time(),
            pins=self._pins,
            shape=self.shape,
            display_name=request.display_name,
            trace=None if self._observer is None else self._observer.trace(),
        )
        workflow_id = workflow_id_of(task_id, request.namespace)
        run_id = await self._cluster.start(
            workflow_id,
            [task.encode(), Position().encode(), b""],
            created=as_datetime(task.create_time),
            labels=request.labels,
            label_keys=[label_key(name, value) for name, value in sorted(request.labels.items())],
            display_name=request.display_name,
            request_hash=request.content_hash() if request.request_id else b"",
            eager=self.eager,
        )
        if run_id is None:
            found = await self._same_request(request)
            if found is not None:
                return found
        else:
            self._ends.began(workflow_id, run_id)
        self._admission.accepted(request.namespace)
        if self._observer is not None:
            self._observer.accepted()
        accepted = NewTask(
            task_id=task_id,
            create_time=task.create_time,
            schema_hash=program.document.digest,
            schema=task.schema,
            inputs=task.inputs,
            timeout=task.timeout,
            labels=task.labels,
            display_name=task.display_name,
            namespace=request.namespace,
        )
        return accepted.record(order_of(task.create_time, task_id))

    async def run_many(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
        """See `TaskService`: the workflows are started side by side."""

        async def attempt(request: TaskRequest) -> TaskRecord | Exception:
            try:
                return await self.run(request)
            except (FlowgramError, JournalError) as error:
                return error

        return await asyncio.gather(*map(attempt, requests))

    async def validate(self, schema: str, inputs: str) -> Validation:
        """See `TaskService`."""
        return await self._programs.validate(schema, inputs)

    async def task(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord:
        """See `TaskService`. Reads the newest run of the task's workflow."""
        workflow_id = workflow_id_of(task_id, namespace)
        history = await self._reader.latest(workflow_id, await self._info(workflow_id))
        if history.record is None:
            raise JournalUnavailable("a history without a beginning")
        return history.record

    async def wait(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> TaskRecord:
        """See `TaskService`. One long poll for the end of the workflow, however many wait."""
        workflow_id = workflow_id_of(task_id, namespace)
        event = await self._ends.closing_event(workflow_id)
        decoded = await self._cluster.decoded(payloads_of(event))
        with readable(task_id):
            record = Record.decode(decoded[0]) if decoded else None
        if record is None or not record.result:  # canceled, or ended from outside: the log says how
            return await self.task(task_id, namespace=namespace)
        return TaskRecord(
            task_id=task_id,
            create_time=record.start_time,
            inputs="",
            schema_hash=b"",
            labels={},
            timeout=None,
            status=record.status,
            start_time=record.start_time or None,
            end_time=record.at,
            last_sequence=record.last_sequence,
            result=record.result,
            order=0,
            request_hash=b"",
            display_name="",  # known with the task, not with its end
            namespace=namespace,
        )

    async def cancel(self, task_id: str, reason: str, *, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """See `TaskService`. Calls that run end within their heartbeat time-out after it."""
        workflow_id = workflow_id_of(task_id, namespace)
        info = await self._info(workflow_id)
        if info.status != _RUNNING:
            return False
        identity = uuid.uuid4().hex
        async with self._logs.opened(info) as log:
            if log.has_ended():
                return False
            await self._cluster.request_cancel(workflow_id, identity, reason)
            while not log.has_ended():
                self._check_open()
                await log.live_log.changed(self._clock)
            return log.cancel_requested_by == identity and log.record.status == Status.CANCELED

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str = DEFAULT_NAMESPACE,
    ) -> list[TaskRecord]:
        """See `TaskService`. The cluster's visibility store is behind by up to a second."""
        return await self._lists.page(
            limit=limit, before=before, statuses=statuses, labels=labels, namespace=namespace
        )

    async def schema(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> str:
        """See `TaskService`."""
        workflow_id = workflow_id_of(task_id, namespace)
        return (await self._reader.begun(workflow_id, await self._info(workflow_id))).schema

    async def log(self, task_id: str, *, namespace: str = DEFAULT_NAMESPACE) -> AsyncGenerator[Batch, None]:
        """See `TaskService`."""
        workflow_id = workflow_id_of(task_id, namespace)
        info = await self._info(workflow_id)
        async with aclosing(self._reader.after(workflow_id, 0, info)) as batches:
            async for batch in batches:
                yield batch

    async def watch(
        self,
        task_id: str,
        after_sequence: int,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        deltas: bool = False,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        """See `TaskService`."""
        workflow_id = workflow_id_of(task_id, namespace)
        info = await self._info(workflow_id)
        if info.status != _RUNNING:
            async with aclosing(self._watch_ended(workflow_id, after_sequence, info)) as batches:
                async for batch in batches:
                    yield batch
            return
        async with self._logs.opened(info) as log:
            if after_sequence > log.record.last_sequence:
                await log.catch_up()
            if after_sequence > log.record.last_sequence:
                raise SequenceOutOfRange(after_sequence, log.record.last_sequence)
            async with log.deltas() if deltas else nullcontext():
                items = self._watch_live(log, after_sequence, deltas=deltas, heartbeat=heartbeat)
                async with aclosing(items):
                    async for item in items:
                        yield item

    def watch_tasks(
        self, wanted: TaskFilter, *, heartbeat: float | None = None
    ) -> AsyncGenerator[TaskChanges, None]:
        """See `TaskService`. Changes are found by polling, and tasks that the cluster removes are not noticed."""
        return self._poll.watch(wanted, heartbeat)

    async def drain(self, grace: float) -> None:  # noqa: ARG002 - tasks do not run here
        """Takes no new tasks, and ends all watches; tasks run on in the cluster."""
        self._closing.set()
        self._ends.close()
        self._logs.nudge()
        self._poll.wake()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["TemporalApplication"]:
        """Serves while it is entered."""
        try:
            yield self
        finally:
            self._closing.set()
            self._ends.close()
            self._logs.nudge()
            self._poll.wake()

    async def _watch_ended(
        self, workflow_id: str, after_sequence: int, info: WorkflowExecutionInfo
    ) -> AsyncGenerator[Batch, None]:
        history = self._reader.new(workflow_id)
        async with aclosing(self._reader.after(workflow_id, after_sequence, info, history)) as batches:
            async for batch in batches:
                yield batch
        last_sequence = 0 if history.record is None else history.record.last_sequence
        if after_sequence > last_sequence:
            raise SequenceOutOfRange(after_sequence, last_sequence)

    async def _watch_live(
        self, log: TaskLog, after_sequence: int, *, deltas: bool, heartbeat: float | None
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        live, cursor = log.live_log, after_sequence
        reader = live.open_deltas() if deltas else None
        try:
            while True:
                while cursor < live.last_sequence:
                    recent = live.since(cursor)
                    if recent is not None:
                        yield join(recent)
                        cursor = recent[-1].last_sequence
                        continue
                    info = await self._info(log.workflow_id)
                    async with aclosing(self._reader.after(log.workflow_id, cursor, info)) as batches:
                        async for batch in batches:
                            yield batch
                            cursor = batch.last_sequence
                for delta in reader.take() if reader is not None else ():
                    yield delta
                if cursor < live.last_sequence:
                    continue
                if log.has_ended():
                    return
                self._check_open()
                if (reader is None or not reader.pending) and not await live.changed(self._clock, heartbeat):
                    yield Heartbeat()
        finally:
            if reader is not None:
                live.close_deltas(reader)

    async def _info(self, workflow_id: str) -> WorkflowExecutionInfo:
        return (await self._cluster.describe(workflow_id)).workflow_execution_info

    async def _same_request(self, request: TaskRequest, *, missing_ok: bool = False) -> TaskRecord | None:
        """The task that a request id was used for before. Raises `RequestConflict` where it was for something else."""
        task_id = task_id_of_request(request.request_id, request.namespace)
        try:
            info = await self._info(workflow_id_of(task_id, request.namespace))
        except TaskNotFound:
            if missing_ok:
                return None
            raise
        payload = info.memo.fields.get(REQUEST_MEMO)
        kept = None if payload is None else (await self._cluster.decoded_values([payload]))[0]
        if kept != request.content_hash().hex():
            raise RequestConflict(request.request_id)
        return await self.task(task_id, namespace=request.namespace)

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ShuttingDown

    def _create_time(self) -> int:
        """The time; each task of this server gets one of its own."""
        self._last_create_time = time = max(self._clock.now(), self._last_create_time + 1)
        return time
