"""Requests of the contract in the runtime's terms. All raise `ArgumentInvalid` where a field is not as it should be."""

from typing import NamedTuple

from flowgram.runtime.v1.runtime_service_pb2 import TaskListRequest, TaskRunRequest, WatchTaskRequest
from flowgram_runtime.application import TaskRequest
from flowgram_server.convert import arguments
from flowgram_server.convert.page_token import decode_page_token

MIN_HEARTBEAT = 0.1
"""Seconds: heartbeats come no more often than this."""


class ListQuery(NamedTuple):
    """Which page of tasks.

    Attributes:
        limit: At most so many tasks.
        before: Only tasks with a smaller `order`; None for the first page.
        statuses: Only tasks in one of these; empty means all.
        labels: Only tasks that carry all of these.
    """

    limit: int
    before: int | None
    statuses: frozenset[int]
    labels: dict[str, str]


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


def task_request(request: TaskRunRequest) -> TaskRequest:
    """What to run."""
    timeout = arguments.microseconds("timeout", request.timeout) if request.HasField("timeout") else None
    return TaskRequest(
        schema=arguments.required("schema", request.schema),
        inputs=request.inputs,
        request_id=arguments.short("request_id", request.request_id, arguments.MAX_REQUEST_ID),
        timeout=timeout,
        labels=arguments.labels("labels", request.labels),
    )


def list_query(request: TaskListRequest) -> ListQuery:
    """Which page of tasks. Raises `PageTokenInvalid`, too."""
    limit = arguments.page_size("page_size", request.page_size)
    statuses = frozenset(
        arguments.status(f"statuses[{index}]", number) for index, number in enumerate(request.statuses)
    )
    labels = arguments.labels("labels", request.labels)
    return ListQuery(limit, decode_page_token(request.page_token, statuses, labels), statuses, labels)


def watch_query(request: WatchTaskRequest) -> WatchQuery:
    """What of a task's log to send."""
    heartbeat = None
    if request.HasField("heartbeat"):
        heartbeat = max(arguments.microseconds("heartbeat", request.heartbeat) / 1e6, MIN_HEARTBEAT)
    return WatchQuery(
        task_id=arguments.task_id("task_id", request.task_id),
        after_sequence=arguments.sequence("after_sequence", request.after_sequence),
        basic=arguments.is_basic("view", request.view),
        deltas=request.include_deltas,
        heartbeat=heartbeat,
    )
