"""The servicer: each method translates a request, calls the application, and translates the answer.

It is written against `flowgram_core.hosting.service.TaskService`. Every call concerns the namespace of its principal only, which
is read here, and handed on. Cancellation, a client's disconnect, ends a method where it waits, and never touches a task.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fair_queue import FairSemaphore
from flowgram_core.concurrency.offload import run_in_thread_if_large
from flowgram_core.hosting.errors import QuotaExceeded, ShuttingDown
from flowgram_core.hosting.quotas import Quota, Quotas
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskService
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import TaskRecord
from flowgram_server.auth.principal import ANONYMOUS, Role, current_principal
from flowgram_server.rpc.access_log import note
from flowgram_server.rpc.batch_stream import batch_responses
from flowgram_server.rpc.convert.page_token import encode_page_token
from flowgram_server.rpc.convert.requests import (
    cancel_order,
    list_query,
    report_query,
    requested_task,
    task_request,
    watch_query,
    watch_tasks_query,
)
from flowgram_server.rpc.convert.responses import (
    status_info,
    task,
    task_result,
    task_run,
    task_summary,
    timestamp,
)
from flowgram_server.rpc.convert.watch import watch_responses
from flowgram_server.rpc.errors import ReportTooLong, TooManyWatches
from flowgram_server.rpc.grpc_types import Context
from flowgram_server.rpc.masking import masked_inputs, masked_schema
from flowgram_server.rpc.report import ReportFold, fold_report, node_data
from flowgram_server.rpc.shared_changes import SharedChanges

_REPORTS: Final = 8
"""Reports and tasks that are put together at once: each takes up to some times `max_message_bytes`."""

_LISTS: Final = 2
"""Lists that are searched for at once: one for labels that no task has looks through all tasks, and readers are few."""

_REQUEST_REST: Final = 1024 * 1024
"""Bytes that a request may have beside a schema and inputs."""

_LONG_REPORT: Final = 20_000
"""Reports of so many events are put together one after the other: each takes some hundred bytes of memory per event."""

_LISTED_AT_ONCE: Final = 25
"""Tasks of a page that are encoded in one go: a megabyte, with as many labels as there may be."""

_BATCH_OVERHEAD: Final = 2048
"""Bytes that an outcome may have beside what TaskRun would send: its key, and tags."""

_NAME: Final = "flowgram-server"
_TITLE: Final = "FlowGram Runtime"

_RETRY_WATCH: Final = 5.0
_MAX_MARGIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of the service.

    Attributes:
        max_message_bytes: No message is larger, in either direction.
        max_watches: So many clients may watch, or wait for a task, at once.
        max_report_events: No report adds up more events.
        max_schema_bytes: No schema is larger, in UTF-8.
        max_inputs_bytes: No inputs of a task are larger, in UTF-8.
        quotas: Limits of namespaces; see `Quotas`.
    """

    max_message_bytes: int = 64 * 1024 * 1024
    max_watches: int = 20_000
    max_report_events: int = 200_000
    max_schema_bytes: int = 12 * 1024 * 1024
    max_inputs_bytes: int = 12 * 1024 * 1024
    quotas: Mapping[str, Quota] = field(default_factory=dict)

    @property
    def max_request_bytes(self) -> int:
        """No request is larger: what is beyond it could hold no schema and no inputs that are accepted."""
        return min(self.max_message_bytes, self.max_schema_bytes + self.max_inputs_bytes + _REQUEST_REST)


def _namespace() -> str:
    """Whose tasks the call that is answered now concerns."""
    return current_principal.get().namespace


class RuntimeServicer:
    """Answers the calls of the contract; errors leave it as exceptions.

    Args:
        application: Does the work.
        clock: Tells the time.
        secrets: Says what a report may not show of the schema.
        limits: Bounds of the service.
        features: What ServerInfo lists beyond this service.
    """

    def __init__(
        self,
        application: TaskService,
        clock: Clock,
        secrets: Secrets,
        limits: ServiceLimits,
        features: Iterable[str] = (),
    ) -> None:
        self._application = application
        self._clock = clock
        self._secrets = secrets
        self._limits = limits
        self._features = sorted(features)
        self._watches = 0
        self._watches_of: Counter[str] = Counter()  # by namespace
        self._quotas = Quotas(limits.quotas)
        self._reports = FairSemaphore(_REPORTS)  # by namespace
        self._long_reports = FairSemaphore(1)
        self._lists = FairSemaphore(_LISTS)
        self._shared_changes = SharedChanges(clock, limits.max_message_bytes)
        self._version = version("flowgram-server")

    @property
    def watches(self) -> int:
        """Clients that watch, or wait for a task."""
        return self._watches

    async def time_slice(self) -> None:
        """Waits for a time slice of the event loop; see `flowgram_core.concurrency.fairness`."""
        await self._application.time_slice()

    async def task_run(self, request: service.TaskRunRequest, context: Context) -> bytes:
        """Starts a task."""
        namespace = _namespace()
        record = await self._application.run(task_request(request, namespace))
        note(task_id=record.task_id)
        if request.wait and not record.ended:
            try:
                record = await self._terminated(record.task_id, namespace, context)
            except (JournalUnavailable, QuotaExceeded, ShuttingDown, TooManyWatches):
                # It was accepted, and the caller must get to know its id.
                with suppress(JournalUnavailable):
                    record = await self._application.task(record.task_id, namespace=namespace)
        return task_run(record, self._clock.now(), self._limits.max_message_bytes)

    async def task_run_batch(
        self, requests: AsyncIterator[service.TaskRunBatchRequest], _: Context
    ) -> AsyncGenerator[bytes, None]:
        """Runs many tasks on one stream."""

        def encode(record: TaskRecord) -> bytes:
            return task_run(record, self._clock.now(), self._limits.max_message_bytes - _BATCH_OVERHEAD)

        with self._counted_watch(_namespace()):
            async with aclosing(
                batch_responses(requests, self._application, _namespace(), encode)
            ) as responses:
                async for response in responses:
                    yield response

    async def task_validate(
        self, request: service.TaskValidateRequest, _: Context
    ) -> service.TaskValidateResponse:
        """Checks a schema and inputs."""
        problems, warnings = await self._application.validate(request.schema, request.inputs)
        return service.TaskValidateResponse(
            valid=not problems,
            errors=[problem.text for problem in problems],
            problems=[service.Problem(field=problem.path, text=problem.text) for problem in problems],
            warnings=[service.Problem(field=warning.path, text=warning.text) for warning in warnings],
        )

    async def task_get(self, request: service.TaskGetRequest, _: Context) -> service.TaskGetResponse:
        """What a task is."""
        note(task_id=request.task_id)
        task_id, namespace = requested_task(request), _namespace()
        async with self._reports.slot(namespace):
            record = await self._application.task(task_id, namespace=namespace)
            schema = await self._application.schema(task_id, namespace=namespace)
            await self.time_slice()
            shown = await run_in_thread_if_large(len(schema), masked_schema, schema, self._secrets)
            inputs = await self._shown_inputs(record)
            return service.TaskGetResponse(task=task(record, shown, inputs, self._clock.now()))

    async def _shown_inputs(self, record: TaskRecord) -> str:
        return await run_in_thread_if_large(len(record.inputs), masked_inputs, record.inputs, self._secrets)

    async def task_report(self, request: service.TaskReportRequest, _: Context) -> bytes:
        """Folds the log of a task."""
        note(task_id=request.task_id)
        task_id, basic = report_query(request)
        namespace = _namespace()
        events = (await self._application.task(task_id, namespace=namespace)).last_sequence
        if events > self._limits.max_report_events:
            raise ReportTooLong(events, self._limits.max_report_events)
        long = self._long_reports.slot(namespace) if events > _LONG_REPORT else nullcontext()
        async with long, self._reports.slot(namespace):
            record = await self._application.task(task_id, namespace=namespace)
            data: dict[str, str] = {}
            if not basic:
                schema = await self._application.schema(task_id, namespace=namespace)
                data = await run_in_thread_if_large(len(schema), node_data, schema, self._secrets)
            inputs = "" if basic else await self._shown_inputs(record)
            fold = ReportFold(task_id, inputs, basic=basic, node_data=data)
            now = self._clock.now()
            fold.status.CopyFrom(status_info(record, now))
            async with aclosing(self._application.log(task_id, namespace=namespace)) as batches:
                return await fold_report(fold, batches, self._limits.max_message_bytes, now)

    async def task_result(self, request: service.TaskResultRequest, context: Context) -> bytes:
        """The outcome of a task."""
        note(task_id=request.task_id)
        task_id, namespace = requested_task(request), _namespace()
        if request.wait:
            record = await self._terminated(task_id, namespace, context)
        else:
            record = await self._application.task(task_id, namespace=namespace)
        return task_result(record, self._clock.now())

    async def task_cancel(self, request: service.TaskCancelRequest, _: Context) -> service.TaskCancelResponse:
        """Stops a task."""
        note(task_id=request.task_id)
        task_id, reason = cancel_order(request)
        success = await self._application.cancel(task_id, reason, namespace=_namespace())
        return service.TaskCancelResponse(success=success)

    async def task_list(self, request: service.TaskListRequest, _: Context) -> bytes:
        """A page of tasks; with long labels it has tens of megabytes, and is encoded a part at a time."""
        keys = self._application.signing_keys
        query = list_query(request, _namespace(), keys)
        async with self._lists.slot(query.namespace):
            records = await self._application.tasks(**query._replace(limit=query.limit + 1)._asdict())
        page, more = records[: query.limit], records[query.limit :]
        now = self._clock.now()
        token = encode_page_token(page[-1].order, query.scope, keys) if more else ""
        encoded: list[bytes] = []
        for first in range(0, len(page), _LISTED_AT_ONCE):
            await self.time_slice()
            some = page[first : first + _LISTED_AT_ONCE]
            tasks = [task_summary(record, now) for record in some]
            encoded.append(service.TaskListResponse(tasks=tasks).SerializeToString())
        # One behind the other, messages of a type are one of their parts together.
        encoded.append(service.TaskListResponse(next_page_token=token).SerializeToString())
        return b"".join(encoded)

    async def watch_task(self, request: service.WatchTaskRequest, _: Context) -> AsyncGenerator[bytes, None]:
        """The log of a task, then live."""
        query = watch_query(request)
        note(task_id=query.task_id)
        items = self._application.watch(
            query.task_id,
            query.after_sequence,
            namespace=_namespace(),
            deltas=query.deltas,
            heartbeat=query.heartbeat,
        )
        with self._counted_watch(_namespace()):
            async with aclosing(items):
                async for item in items:
                    for response in watch_responses(item, query, self._limits.max_message_bytes):
                        yield response

    async def watch_tasks(
        self, request: service.WatchTasksRequest, _: Context
    ) -> AsyncGenerator[bytes, None]:
        """The tasks of a filter as they change."""
        query = watch_tasks_query(request, _namespace())
        items = self._application.watch_tasks(query.wanted, heartbeat=query.heartbeat)
        with self._counted_watch(_namespace()):
            async with aclosing(items):
                async for changes in items:
                    for response in self._shared_changes.responses(changes):
                        yield response

    async def server_info(self, _: service.ServerInfoRequest, __: Context) -> service.ServerInfoResponse:
        """What this server is; of one that asks for credentials, without any, no more than that it does."""
        principal = current_principal.get()
        if principal.role == Role.NONE:
            return service.ServerInfoResponse(
                name=_NAME, title=_TITLE, time=timestamp(self._clock.now()), features=self._features
            )
        return service.ServerInfoResponse(
            name=_NAME,
            title=_TITLE,
            description="Executes FlowGram workflows durably and streams their progress",
            runtime=self._application.runtime,
            version=self._version,
            time=timestamp(self._clock.now()),
            node_types=self._application.node_types,
            features=self._features,
            limits=service.ServerLimits(
                max_message_bytes=self._limits.max_message_bytes,
                max_schema_bytes=self._limits.max_schema_bytes,
                max_inputs_bytes=self._limits.max_inputs_bytes,
            ),
            caller=None
            if principal is ANONYMOUS
            else service.Caller(
                name=principal.name, namespace=principal.namespace, role=principal.role.name.lower()
            ),
        )

    async def _terminated(self, task_id: str, namespace: str, context: Context) -> TaskRecord:
        """The task once it has terminated, or as it is shortly before the call's deadline."""
        left: float | None = context.time_remaining()  # None without a deadline, whatever its stub says
        with self._counted_watch(_namespace()):
            if left is None:
                return await self._application.wait(task_id, namespace=namespace)
            try:
                async with asyncio.timeout(left - min(_MAX_MARGIN, left / 5)):
                    return await self._application.wait(task_id, namespace=namespace)
            except TimeoutError:
                return await self._application.task(task_id, namespace=namespace)

    @contextmanager
    def _counted_watch(self, namespace: str) -> Iterator[None]:
        self._quotas.check_watches(namespace, self._watches_of[namespace])
        if self._watches >= self._limits.max_watches:
            raise TooManyWatches(self._limits.max_watches, _RETRY_WATCH)
        self._watches += 1
        self._watches_of[namespace] += 1
        try:
            yield
        finally:
            self._watches -= 1
            self._watches_of[namespace] -= 1
            if not self._watches_of[namespace]:
                del self._watches_of[namespace]
