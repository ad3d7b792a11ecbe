"""Requests of the contract in the runtime's terms. All raise `ArgumentInvalid`, with all invalid fields."""

from collections.abc import Sequence
from typing import NamedTuple

from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskGetRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
    WatchTasksRequest,
)
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.task_changes import TaskFilter
from flowgram_server.rpc.convert import arguments
from flowgram_server.rpc.convert.page_token import ListScope, decode_page_token

MIN_HEARTBEAT = 0.1
"""Seconds: heartbeats come no more often than this."""


class ListQuery(NamedTuple):
    """Which page of tasks.

    Attributes:
        limit: At most so many tasks.
        before: Only tasks with a smaller `order`; None for the first page.
        statuses: Only tasks in one of these; empty means all.
        labels: Only tasks that carry all of these.
        namespace: Whose tasks.
    """

    limit: int
    before: int | None
    statuses: frozenset[int]
    labels: dict[str, str]
    namespace: str

    @property
    def scope(self) -> ListScope:
        """The list that the page is of."""
        return ListScope(self.namespace, self.statuses, self.labels)


class ReportQuery(NamedTuple):
    """What to report on.

    Attributes:
        task_id: The task.
        basic: Whether to leave the JSON of inputs, outputs and data out.
    """

    task_id: str
    basic: bool


class CancelOrder(NamedTuple):
    """What to stop.

    Attributes:
        task_id: The task.
        reason: Why, in the caller's words.
    """

    task_id: str
    reason: str


class WatchTasksQuery(NamedTuple):
    """Which tasks to watch.

    Attributes:
        wanted: The filter.
        heartbeat: Seconds of silence after which a heartbeat is sent; None for none.
    """

    wanted: TaskFilter
    heartbeat: float | None


class WatchQuery(NamedTuple):
    """What of a task's log to send.

    Attributes:
        task_id: The task.
        after_sequence: The last event that the watcher has seen.
        basic: Whether to leave the JSON of inputs and outputs out.
        deltas: Whether to send pieces of outputs as they arrive.
        heartbeat: Seconds of silence after which a heartbeat is sent; None for none.
    """

    task_id: str
    after_sequence: int
    basic: bool
    deltas: bool
    heartbeat: float | None


def task_request(request: TaskRunRequest, namespace: str) -> TaskRequest:
    """What to run, and whose task it is to be."""
    violations: arguments.Violations = []
    task = TaskRequest(
        schema=arguments.required(violations, "schema", request.schema),
        inputs=request.inputs,
        request_id=arguments.short(violations, "request_id", request.request_id, arguments.MAX_REQUEST_ID),
        timeout=(
            arguments.microseconds(violations, "timeout", request.timeout)
            if request.HasField("timeout")
            else None
        ),
        labels=arguments.labels(violations, "labels", request.labels),
        display_name=arguments.display_name(violations, "display_name", request.display_name),
        namespace=namespace,
    )
    arguments.accept(violations)
    return task


def list_query(request: TaskListRequest, namespace: str, keys: Sequence[bytes]) -> ListQuery:
    """Which page of a namespace's tasks; the keys are those of page tokens. Raises `PageTokenInvalid`, too."""
    violations: arguments.Violations = []
    limit = arguments.page_size(violations, "page_size", request.page_size)
    statuses = arguments.statuses(violations, "statuses", request.statuses)
    labels = arguments.labels(violations, "labels", request.labels)
    arguments.accept(violations)
    before = decode_page_token(request.page_token, ListScope(namespace, statuses, labels), keys)
    return ListQuery(limit, before, statuses, labels, namespace)


def report_query(request: TaskReportRequest) -> ReportQuery:
    """What to report on."""
    violations: arguments.Violations = []
    query = ReportQuery(
        task_id=arguments.task_id(violations, "task_id", request.task_id),
        basic=arguments.is_basic(violations, "view", request.view),
    )
    arguments.accept(violations)
    return query


def cancel_order(request: TaskCancelRequest) -> CancelOrder:
    """What to stop."""
    violations: arguments.Violations = []
    order = CancelOrder(
        task_id=arguments.task_id(violations, "task_id", request.task_id),
        reason=arguments.short(violations, "reason", request.reason, arguments.MAX_REASON),
    )
    arguments.accept(violations)
    return order


def requested_task(request: TaskGetRequest | TaskResultRequest) -> str:
    """The id of the task that a request is about."""
    violations: arguments.Violations = []
    task_id = arguments.task_id(violations, "task_id", request.task_id)
    arguments.accept(violations)
    return task_id


def watch_query(request: WatchTaskRequest) -> WatchQuery:
    """What of a task's log to send."""
    violations: arguments.Violations = []
    heartbeat = _heartbeat(violations, request)
    query = WatchQuery(
        task_id=arguments.task_id(violations, "task_id", request.task_id),
        after_sequence=arguments.sequence(violations, "after_sequence", request.after_sequence),
        basic=arguments.is_basic(violations, "view", request.view),
        deltas=request.include_deltas,
        heartbeat=heartbeat,
    )
    arguments.accept(violations)
    return query


def watch_tasks_query(request: WatchTasksRequest, namespace: str) -> WatchTasksQuery:
    """Which tasks of a namespace to watch."""
    violations: arguments.Violations = []
    heartbeat = _heartbeat(violations, request)
    wanted = TaskFilter(
        statuses=arguments.statuses(violations, "statuses", request.statuses),
        labels=arguments.labels(violations, "labels", request.labels),
        namespace=namespace,
    )
    arguments.accept(violations)
    return WatchTasksQuery(wanted, heartbeat)


def _heartbeat(
    violations: arguments.Violations, request: WatchTaskRequest | WatchTasksRequest
) -> float | None:
    if not request.HasField("heartbeat"):
        return None
    microseconds = arguments.microseconds(violations, "heartbeat", request.heartbeat)
    return max(microseconds / 1e6, MIN_HEARTBEAT)
