"""The operations of the clients, as flows."""

import math
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import grpc
from google.protobuf.message import Message

from flowgram.runtime.v1 import event_pb2, report_pb2, runtime_service_pb2

from . import _convert, _json, models
from ._batch import BatchState
from ._flow import Call, Emit, Flow, Open, Read, Sleep
from ._requests import (
    JSONSource,
    Seconds,
    duration_of,
    inputs_text,
    labels_of,
    list_request,
    make_request,
    run_request,
)
from ._watch import Cursor, TaskTable, may_resume
from .errors import DeadlineExceededError, InvalidValueError, RequestError, UnavailableError
from .retry import RetryPolicy

_FOR_EVER = 1e9
"""Seconds, some thirty years: a deadline farther away is none, for gRPC cannot hold all of them."""

_NEAR = 1.0
"""Seconds before the deadline of a wait at which servers answer at the latest."""

_SILENT_HEARTBEATS = 3
"""So many heartbeats in a row that did not come mean that the connection is dead."""

_LARGEST_PAGE = 1000

_SHORTEST_HEARTBEAT = 0.1
"""Seconds: the contract promises no more often, whatever is asked for."""


class Operations:
    """The operations of a client. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        *,
        timeout: Seconds | None,
        retry: RetryPolicy,
        reconnect: RetryPolicy,
        rand: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._timeout = timeout
        self._retry = retry
        self._reconnect = reconnect
        self._random = rand
        self._clock = clock
        self._deadline(timeout)  # one that makes no sense is refused now

    def run(
        self,
        schema: JSONSource,
        inputs: JSONSource | None,
        *,
        request_id: str | None,
        task_timeout: Seconds | None,
        labels: Mapping[str, str] | None,
        display_name: str = "",
        timeout: Seconds | None,
    ) -> Flow[str]:
        """Start a task; its id."""
        request = run_request(schema, inputs, request_id, task_timeout, labels, display_name)
        response: runtime_service_pb2.TaskRunResponse = yield from self._quick("TaskRun", request, timeout)
        return response.task_id

    def run_and_wait(
        self,
        schema: JSONSource,
        inputs: JSONSource | None,
        *,
        request_id: str | None,
        task_timeout: Seconds | None,
        labels: Mapping[str, str] | None,
        display_name: str = "",
        timeout: Seconds | None,
    ) -> Flow[models.Result]:
        """Start a task and wait for its outcome."""
        request = run_request(schema, inputs, request_id, task_timeout, labels, display_name)
        request.wait = True
        deadline = self._deadline(timeout)
        response: runtime_service_pb2.TaskRunResponse
        response = yield from self._call("TaskRun", request, deadline, self._reconnect)
        outcome = _convert.result(response.task_id, response)
        too_large = outcome.status is models.Status.SUCCEEDED and not response.outputs
        if not too_large and (outcome.terminated or self._is_near(deadline)):
            return outcome
        # the server is shutting down, and the task goes on when it is back; or the answer had no room for the outputs
        try:
            return (yield from self._wait(response.task_id, deadline))
        except DeadlineExceededError:
            return outcome  # names the task, which goes on

    def batch(
        self,
        schema: JSONSource,
        *,
        batch_id: str | None,
        max_in_flight: int,
        ordered: bool,
        task_timeout: Seconds | None,
        labels: Mapping[str, str] | None,
        display_name: str,
    ) -> BatchState:
        """The runs of a batch, none of which is sent yet."""
        defaults = make_request(
            runtime_service_pb2.TaskRunRequest,
            schema=_json.dumps(schema, "schema"),
            timeout=duration_of("task_timeout", task_timeout),
            labels=labels_of(labels),
            display_name=display_name,
        )
        return BatchState(
            defaults,
            batch_id=batch_id or str(uuid.uuid4()),
            max_in_flight=max_in_flight,
            ordered=ordered,
            retry=self._reconnect,
        )

    def result(self, task_id: str, *, wait: bool, timeout: Seconds | None) -> Flow[models.Result]:
        """The outcome of a task; with `wait` and no timeout, a final one."""
        if wait:
            return self._wait(task_id, self._deadline(timeout))
        return self._result(task_id, timeout)

    def _result(self, task_id: str, timeout: Seconds | None) -> Flow[models.Result]:
        request = make_request(runtime_service_pb2.TaskResultRequest, task_id=task_id)
        response: runtime_service_pb2.TaskResultResponse = yield from self._quick(
            "TaskResult", request, timeout
        )
        return _convert.result(task_id, response)

    def _wait(self, task_id: str, deadline: float | None) -> Flow[models.Result]:
        """The outcome of a task once it has ended, or as it is when the deadline is near."""
        request = make_request(runtime_service_pb2.TaskResultRequest, task_id=task_id, wait=True)
        while True:
            response: runtime_service_pb2.TaskResultResponse
            response = yield from self._call("TaskResult", request, deadline, self._reconnect)
            outcome = _convert.result(task_id, response)
            if outcome.terminated or self._is_near(deadline):
                return outcome
            # only the end of the server, or a limit of its own, ends the wait so early: the task goes on
            yield Sleep(self._reconnect.initial)

    def get(self, task_id: str, *, timeout: Seconds | None) -> Flow[models.Task]:
        """What a task is."""
        request = make_request(runtime_service_pb2.TaskGetRequest, task_id=task_id)
        response: runtime_service_pb2.TaskGetResponse = yield from self._quick("TaskGet", request, timeout)
        return _convert.task(response.task)

    def report(self, task_id: str, *, view: models.View, timeout: Seconds | None) -> Flow[models.Report]:
        """Everything known about a task."""
        request = make_request(
            runtime_service_pb2.TaskReportRequest, task_id=task_id, view=f"VIEW_{view.name}"
        )
        response: runtime_service_pb2.TaskReportResponse
        response = yield from self._quick("TaskReport", request, timeout)
        return _convert.report(response.report)

    def cancel(self, task_id: str, *, reason: str, timeout: Seconds | None) -> Flow[bool]:
        """Stop a task; whether this call did."""
        request = make_request(runtime_service_pb2.TaskCancelRequest, task_id=task_id, reason=reason)
        response: runtime_service_pb2.TaskCancelResponse = yield from self._quick(
            "TaskCancel", request, timeout
        )
        return response.success

    def validate(
        self, schema: JSONSource, inputs: JSONSource | None, *, timeout: Seconds | None
    ) -> Flow[models.Validation]:
        """What is wrong with a schema and its inputs."""
        request = runtime_service_pb2.TaskValidateRequest(
            schema=_json.dumps(schema, "schema"), inputs=inputs_text(inputs)
        )
        response: runtime_service_pb2.TaskValidateResponse
        response = yield from self._quick("TaskValidate", request, timeout)
        return _convert.validation(response)

    def list(
        self,
        *,
        statuses: Iterable[models.Status],
        labels: Mapping[str, str] | None,
        page_size: int,
        timeout: Seconds | None,
    ) -> Flow[None]:
        """Emits a TaskSummary for each task, newest first; a page is asked for when it is wanted."""
        request = list_request(runtime_service_pb2.TaskListRequest, statuses, labels, page_size=page_size)
        yield from self._pages(request, timeout, lambda tasks: map(_convert.summary, tasks))

    def _pages(
        self,
        request: runtime_service_pb2.TaskListRequest,
        timeout: Seconds | None,
        convert: Callable[[Iterable[report_pb2.TaskSummary]], Iterable[object]],
    ) -> Flow[None]:
        """Emits what `convert` makes of the tasks of each page."""
        while True:
            response: runtime_service_pb2.TaskListResponse
            response = yield from self._quick("TaskList", request, timeout)
            yield from _emit(convert(response.tasks))
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def info(self, *, timeout: Seconds | None) -> Flow[models.ServerInfo]:
        """What the server says of itself."""
        request = runtime_service_pb2.ServerInfoRequest()
        response: runtime_service_pb2.ServerInfoResponse = yield from self._quick(
            "ServerInfo", request, timeout
        )
        return _convert.info(response)

    def call(self, method: str, request: Message, *, timeout: Seconds | None) -> Flow[Any]:
        """A call of the contract as it is; its response."""
        return self._quick(method, request, timeout)

    def watch(
        self,
        task_id: str,
        convert: Callable[[Sequence[event_pb2.TaskEvent]], Iterable[object]],
        *,
        after_sequence: int,
        view: models.View,
        deltas: bool,
        heartbeat: Seconds | None,
        timeout: Seconds | None,
    ) -> Flow[None]:
        """Emits what `convert` makes of the events after `after_sequence`, once and in order, those of a response together."""
        request = make_request(
            runtime_service_pb2.WatchTaskRequest,
            task_id=task_id,
            after_sequence=after_sequence,
            view=f"VIEW_{view.name}",
            include_deltas=deltas,
            heartbeat=duration_of("heartbeat", heartbeat),
        )
        silence = _silence(heartbeat)
        deadline = self._deadline(timeout)
        cursor = Cursor(after_sequence)
        connected, failures = False, 0
        while True:
            request.after_sequence = cursor.sequence
            try:
                yield Open("WatchTask", request, self._remaining(deadline))
                while True:
                    complete = cursor.terminated  # then one more read, which lets the stream end by itself
                    response: runtime_service_pb2.WatchTaskResponse | None = yield Read(silence)
                    if response is None or complete:
                        return
                    connected = True
                    if not response.events:  # a heartbeat
                        failures = 0
                    events, gap = cursor.accept(response.events)
                    if events:
                        failures = 0
                        yield from _emit(convert(events))
                    if gap is not None:
                        raise gap
            except RequestError as error:
                if cursor.terminated:
                    return  # every event was received; how the stream ended does not matter
                if not may_resume(error, connected=connected, failures=failures):
                    raise
                failures += 1
                delay = self._retry_delay(error, failures, self._reconnect, deadline)
            yield Sleep(delay)

    def watch_tasks(
        self,
        *,
        statuses: Iterable[models.Status],
        labels: Mapping[str, str] | None,
        heartbeat: Seconds | None,
        timeout: Seconds | None,
    ) -> Flow[None]:
        """Emits a TaskSummary for each task of the list, then for each change, and a TaskRemoved for what is gone."""
        statuses = tuple(statuses)
        table = TaskTable(statuses)
        request = list_request(runtime_service_pb2.TaskListRequest, statuses, labels, page_size=_LARGEST_PAGE)

        def list_all() -> Flow[None]:
            request.page_token = ""
            table.begin_list()
            yield from self._pages(request, None, table.listed)
            yield from _emit(table.end_list())

        return self._follow_tasks(statuses, labels, heartbeat, timeout, list_all, table.changed)

    def watch_changes(
        self,
        *,
        statuses: Iterable[models.Status],
        labels: Mapping[str, str] | None,
        heartbeat: Seconds | None,
        timeout: Seconds | None,
    ) -> Flow[None]:
        """Emits None whenever the watch becomes live, and the contract's responses that are not empty."""
        return self._follow_tasks(
            statuses,
            labels,
            heartbeat,
            timeout,
            lambda: _emit([None]),
            lambda response: [response] if response.tasks or response.removed_task_ids else [],
        )

    def _follow_tasks(
        self,
        statuses: Iterable[models.Status],
        labels: Mapping[str, str] | None,
        heartbeat: Seconds | None,
        timeout: Seconds | None,
        become_live: Callable[[], Flow[None]],
        convert: Callable[[runtime_service_pb2.WatchTasksResponse], Iterable[object]],
    ) -> Flow[None]:
        """Does `become_live` whenever a stream of changes has begun, and emits what `convert` makes of each response."""
        request = list_request(
            runtime_service_pb2.WatchTasksRequest,
            statuses,
            labels,
            heartbeat=duration_of("heartbeat", heartbeat),
        )
        silence = _silence(heartbeat)
        deadline = self._deadline(timeout)
        connected, failures = False, 0
        while True:
            live = False
            try:
                yield Open("WatchTasks", request, self._remaining(deadline))
                while True:
                    response: runtime_service_pb2.WatchTasksResponse | None = yield Read(silence)
                    if response is None:
                        raise UnavailableError("the watch ended", grpc.StatusCode.UNAVAILABLE)
                    if not live:
                        yield from become_live()
                    connected = live = True
                    failures = 0
                    yield from _emit(convert(response))
            except RequestError as error:
                if not may_resume(error, connected=connected, failures=failures):
                    raise
                failures += 1
                delay = self._retry_delay(error, failures, self._reconnect, deadline)
            yield Sleep(delay)

    def _quick(self, method: str, request: Message, timeout: Seconds | None) -> Flow[Any]:
        """A call that is answered at once."""
        deadline = self._deadline(self._timeout if timeout is None else timeout)
        return self._call(method, request, deadline, self._retry)

    def _call(self, method: str, request: Message, deadline: float | None, policy: RetryPolicy) -> Flow[Any]:
        """A call that is made again when the server was unavailable: every request here may be repeated."""
        failures = 0
        while True:
            began = self._clock()
            try:
                return (yield Call(method, request, self._remaining(deadline)))
            except UnavailableError as error:
                if self._clock() - began > policy.maximum:
                    failures = 0  # it had been under way: not one failure after another
                failures += 1
                delay = self._retry_delay(error, failures, policy, deadline)
            yield Sleep(delay)

    def _retry_delay(
        self, error: RequestError, failures: int, policy: RetryPolicy, deadline: float | None
    ) -> float:
        """How long to wait before the next attempt; raises the error if there is none."""
        delay = policy.delay(failures, self._random, advice=error.retry_after)
        remaining = self._remaining(deadline)
        if delay is None or (remaining is not None and delay >= remaining):
            raise error
        return delay

    def _deadline(self, timeout: Seconds | None) -> float | None:
        seconds: Any = _convert.seconds(timeout)
        if seconds is None:
            return None
        if not isinstance(seconds, int | float) or math.isnan(seconds):
            raise InvalidValueError(f"timeout: {seconds!r} is not a number of seconds")
        if seconds <= 0:
            raise InvalidValueError(f"timeout: {seconds!r} leaves no time for an answer; None is no limit")
        return None if seconds > _FOR_EVER else self._clock() + seconds

    def _is_near(self, deadline: float | None) -> bool:
        """Whether a server had reason to answer before what was waited for: it leaves the answer time to arrive."""
        remaining = self._remaining(deadline)
        return remaining is not None and remaining <= _NEAR

    def _remaining(self, deadline: float | None) -> float | None:
        return None if deadline is None else max(deadline - self._clock(), 0.0)


def _emit(items: Iterable[object]) -> Flow[None]:
    for item in items:
        yield Emit(item)


def _silence(heartbeat: Seconds | None) -> float | None:
    """Seconds of silence that mean that the connection is dead."""
    seconds = _convert.seconds(heartbeat)
    return None if seconds is None else _SILENT_HEARTBEATS * max(seconds, _SHORTEST_HEARTBEAT)
