"""The endpoints of the API: each translates a request, calls the service, and translates the answer."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response
from google.protobuf.message import Message
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_client import InvalidWorkflowError, Status, View
from flowgram_client._raw import RawClient
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.concurrency.offload import run_in_thread_if_large
from flowgram_server.byte_budget import ByteBudget
from flowgram_server.gateway import json_encoding, openapi_models
from flowgram_server.gateway.batch import BatchResponse, Lines, check_content_type
from flowgram_server.gateway.errors import RequestInvalid, answer_to
from flowgram_server.gateway.event_encoding import serialized
from flowgram_server.gateway.field_problems import problems_of
from flowgram_server.gateway.report_encoding import report_chunks
from flowgram_server.gateway.request_body import Body, parse_body, read_body
from flowgram_server.gateway.responses import chunked_json_answer, error_answer, json_answer
from flowgram_server.gateway.watch import (
    PROTOBUF,
    SERVER_SENT_EVENTS,
    Encoding,
    Frames,
    WatchQuery,
    WatchResponse,
    change_frames,
    event_frames,
)
from flowgram_server.settings.gateway import GatewaySettings

_Body = TypeVar("_Body", bound=BaseModel)
_Message = TypeVar("_Message", bound=Message)


def _digits(text: str) -> str:
    """A whole number as digits; pydantic would take `1.0` for one."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a whole number")
    return text


_Digits = BeforeValidator(_digits)
_Sequence = Annotated[int, Field(ge=0, le=2**63 - 1), _Digits]  # in this order OpenAPI has the bounds
_SequenceOrNone = Annotated[
    int | None,
    Field(ge=0, le=2**63 - 1),
    _Digits,
    WithJsonSchema({"type": "integer", "minimum": 0, "maximum": 2**63 - 1}),  # a header is there, or is not
]
_Label = Annotated[str, Field(pattern="^[^=]+=")]
_Statuses = Annotated[
    list[openapi_models.StatusWord], Query(description="Only tasks in one of these; may be repeated.")
]
_Labels = Annotated[
    list[_Label], Query(description="KEY=VALUE: only tasks that carry all of these; may be repeated.")
]
_TaskID = Annotated[str, Query(alias="taskID", min_length=1, description="The task.")]

_ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {"model": openapi_models.Error, "description": "What went wrong."},
    400: {
        "model": openapi_models.Error,
        "description": "The request is not valid; `errors` lists all that is wrong.",
    },
    503: {"model": openapi_models.Error, "description": "The runtime cannot be reached. Try again."},
}
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": openapi_models.Error, "description": "No such task, or its retention has passed."}
}
_BODY_ERRORS: dict[int | str, dict[str, Any]] = {
    413: {"model": openapi_models.Error, "description": "The body is too large."},
    415: {"model": openapi_models.Error, "description": "The body is not sent as JSON."},
}
_RUN_ERRORS: dict[int | str, dict[str, Any]] = {
    409: {
        "model": openapi_models.Error,
        "description": "The requestID was used before, with a different request.",
    },
    429: {
        "model": openapi_models.Error,
        "description": "Too many tasks run and wait. Try again after Retry-After.",
    },
}
_WATCH_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events. `id` is the sequence, `data` a JSON object with `type`, `sequence` and `timestamp`. For "
        "clients that accept protobuf: one WatchTaskResponse that grows.",
        "content": {"text/event-stream": {"schema": {}}, PROTOBUF.media_type: {"schema": {}}},
    },
    204: {"description": "The task has ended, and all its events were seen."},
    416: {"model": openapi_models.Error, "description": "The position is beyond the last event."},
    429: {
        "model": openapi_models.Error,
        "description": "Too many clients watch. Try again after Retry-After.",
    },
}
_LINES: dict[str, Any] = {"application/x-ndjson": {"schema": {"type": "string"}}}
_BATCH_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The outcomes, one JSON object a line: `key`, and `taskID`, `workflowStatus`, `outputs`, or `error`.",
        "content": _LINES,
    },
}
_WATCH_TASKS_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The changes. `data` is a JSON object with `type`: `live`, or `tasks_changed` with `tasks`, shaped "
        "as in a list, and `removedTaskIDs`.",
        "content": {"text/event-stream": {"schema": {}}},
    },
    429: _WATCH_ANSWERS[429],
}


class Endpoints:
    """Answers the requests of the API.

    Args:
        client: A client of the service.
        settings: How it serves.
        features: What the gateway has beyond the API, besides what the server tells of itself.

    Attributes:
        stopping: Ends all watches.
    """

    def __init__(self, client: RawClient, settings: GatewaySettings, features: Iterable[str] = ()) -> None:
        self.stopping = asyncio.Event()
        self._client = client
        self._settings = settings
        self._bodies = ByteBudget(settings.max_bodies_bytes)
        self._fairness = FairScheduler()
        self._features = frozenset(features)

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter(prefix="/api", responses=_ERRORS)
        router.add_api_route(
            "/task/run",
            self.run,
            methods=["POST"],
            response_model=openapi_models.TaskID,
            responses=_BODY_ERRORS | _RUN_ERRORS,
            openapi_extra=_request_body(openapi_models.RunBody),
        )
        router.add_api_route(
            "/task/validate",
            self.validate,
            methods=["POST"],
            response_model=openapi_models.Validation,
            responses=_BODY_ERRORS,
            openapi_extra=_request_body(openapi_models.ValidateBody),
        )
        router.add_api_route("/task", self.get, response_model=openapi_models.Task, responses=_NOT_FOUND)
        router.add_api_route(
            "/task/report", self.report, response_model=openapi_models.Report, responses=_NOT_FOUND
        )
        router.add_api_route(
            "/task/result", self.result, response_model=openapi_models.JSONObject, responses=_NOT_FOUND
        )
        router.add_api_route(
            "/task/cancel",
            self.cancel,
            methods=["PUT"],
            response_model=openapi_models.Cancellation,
            responses=_BODY_ERRORS | _NOT_FOUND,
            openapi_extra=_request_body(openapi_models.CancelBody),
        )
        router.add_api_route(
            "/task/watch",
            self.watch,
            status_code=200,
            response_class=Response,
            responses=_NOT_FOUND | _WATCH_ANSWERS,
        )
        router.add_api_route(
            "/tasks/watch",
            self.watch_tasks,
            status_code=200,
            response_class=Response,
            responses=_WATCH_TASKS_ANSWERS,
        )
        router.add_api_route(
            "/tasks/batch",
            self.batch,
            methods=["POST"],
            status_code=200,
            response_class=Response,
            responses=_BODY_ERRORS | _BATCH_ANSWERS,
            openapi_extra={"requestBody": {"required": True, "content": _LINES}},
        )
        router.add_api_route("/tasks", self.tasks, response_model=openapi_models.TaskList)
        router.add_api_route("/info", self.info, response_model=openapi_models.ServerInfo)
        return router

    async def run(self, request: Request) -> Response:
        """Starts a workflow. Answers once the task is durably accepted: from then on it survives a crash."""
        async with self._body(request) as body:
            wanted = _checked(openapi_models.RunBody, body)
            check = await run_in_thread_if_large(body.size, _to_validate, wanted, body)
            call = await run_in_thread_if_large(body.size, _to_run, wanted, check)
            try:
                accepted = await self._call("TaskRun", call, service.TaskRunResponse)
            except InvalidWorkflowError as error:
                # The status of a call has room for the first problems only.
                validation = await self._call("TaskValidate", check, service.TaskValidateResponse)
                answer = answer_to(error)
                return error_answer(answer._replace(errors=tuple(validation.errors) or answer.errors))
            return json_answer({"taskID": accepted.task_id})

    async def batch(self, request: Request) -> Response:
        """Runs a workflow for each line of the body. The first line has the defaults; outcomes are lines, as they come."""
        check_content_type(request.headers.get("content-type", ""))
        settings = self._settings
        lines = Lines(request.stream(), settings.max_body_bytes)
        return BatchResponse(
            self._client,
            lines,
            first_timeout=settings.read_timeout,
            time_slice=self._fairness.time_slice,
        )

    async def validate(self, request: Request) -> Response:
        """Checks a workflow and its inputs without running it. Problems are the answer, not an error."""
        async with self._body(request) as body:
            wanted = _checked(openapi_models.ValidateBody, body)
            call = await run_in_thread_if_large(body.size, _to_validate, wanted, body)
            validation = await self._call("TaskValidate", call, service.TaskValidateResponse)
            return json_answer(json_encoding.validation(validation))

    async def get(self, task_id: _TaskID) -> Response:
        """What a task is: its schema and inputs with secrets masked, its labels, name, times and status."""
        answer = await self._call("TaskGet", service.TaskGetRequest(task_id=task_id), service.TaskGetResponse)
        return await _json_answer(answer, lambda: json_encoding.task(answer.task))

    async def report(self, task_id: _TaskID) -> Response:
        """Everything known about a task now: its status, inputs and outputs, the runs of its nodes, its messages."""
        call = service.TaskReportRequest(task_id=task_id)
        data = await self._client.report_bytes(call)
        return chunked_json_answer(await run_in_thread_if_large(len(data), report_chunks, data))

    async def result(self, task_id: _TaskID) -> Response:
        """The outputs of a task; an empty object unless it has succeeded."""
        call = service.TaskResultRequest(task_id=task_id)
        answer = await self._call("TaskResult", call, service.TaskResultResponse)
        return await _json_answer(answer, lambda: json_encoding.json_object(answer.outputs))

    async def cancel(self, request: Request) -> Response:
        """Stops a task and its running nodes."""
        async with self._body(request) as body:
            wanted = _checked(openapi_models.CancelBody, body)
        call = service.TaskCancelRequest(task_id=wanted.task_id)
        answer = await self._call("TaskCancel", call, service.TaskCancelResponse)
        return json_answer({"success": answer.success})

    async def watch(
        self,
        request: Request,
        task_id: _TaskID,
        after: Annotated[_Sequence, Query(description="The sequence of the last event that was seen.")] = 0,
        deltas: Annotated[
            bool, Query(description="Also send the text of language models as it arrives.")
        ] = False,
        view: Annotated[
            openapi_models.ViewWord, Query(description="`basic`: without the JSON of inputs and outputs.")
        ] = "full",
        until: Annotated[
            _SequenceOrNone,
            Query(description="End after the event with this sequence; unset: after the last."),
        ] = None,
        last_event_id: Annotated[
            _SequenceOrNone,
            Header(
                alias="Last-Event-ID",
                description="As `after`, and wins over it: browsers send it when they connect again.",
            ),
        ] = None,
    ) -> Response:
        """The events of a task as Server-Sent Events: those that were, then each new one, until its last."""
        start = after if last_event_id is None else last_event_id
        query = WatchQuery(task_id, start, deltas, View[view.upper()], until)
        if PROTOBUF.media_type in request.headers.get("accept", ""):
            return self._watch_response(
                partial(event_frames, self._client, query, lambda events: [serialized(events)]), PROTOBUF
            )
        return self._watch_response(partial(event_frames, self._client, query))

    async def watch_tasks(self, status: _Statuses = [], label: _Labels = []) -> Response:  # noqa: B006 - FastAPI copies them
        """The tasks of a filter as they change, as Server-Sent Events, from now on.

        `live` comes first, and again after a lost connection to the server: list the tasks then. A task in
        `tasks_changed` replaces the one in the list unless its `lastSequence` is lower. One that no longer fits the
        filter is sent once more.
        """
        statuses = [Status(json_encoding.STATUSES[word]) for word in status]
        labels = dict(map(_label, label))
        return self._watch_response(partial(change_frames, self._client, statuses, labels))

    def _watch_response(self, frames: Frames, encoding: Encoding = SERVER_SENT_EVENTS) -> WatchResponse:
        heartbeat = self._settings.heartbeat
        return WatchResponse(
            self._client, frames, stopping=self.stopping, heartbeat=heartbeat, encoding=encoding
        )

    async def tasks(
        self,
        status: _Statuses = [],  # noqa: B006 - FastAPI copies it
        label: _Labels = [],  # noqa: B006 - as above
        page_size: Annotated[int, _Digits, Query(alias="pageSize", ge=1, le=1000)] = 100,
        page_token: Annotated[
            str, Query(alias="pageToken", description="The `nextPageToken` of the page before.")
        ] = "",
    ) -> Response:
        """Tasks, newest first."""
        call = service.TaskListRequest(
            page_size=page_size, page_token=page_token, labels=dict(map(_label, label))
        )
        call.statuses.extend(json_encoding.STATUSES[word] for word in status)  # type: ignore[misc]  # numbers of the enum
        return json_answer(
            json_encoding.task_list(await self._call("TaskList", call, service.TaskListResponse))
        )

    async def info(self) -> Response:
        """Name, version and capabilities of the server."""
        answer = await self._call("ServerInfo", service.ServerInfoRequest(), service.ServerInfoResponse)
        answer.features[:] = sorted(self._features.union(answer.features))
        return json_answer(json_encoding.server_info(answer))

    @asynccontextmanager
    async def _body(self, request: Request) -> AsyncIterator[Body]:
        """The body of a request, which counts against what all bodies may hold until the block ends."""
        settings = self._settings
        with self._bodies.share() as share:
            data = await read_body(
                request,
                settings.max_body_bytes,
                share=share,
                idle_timeout=settings.read_timeout,
                min_rate=settings.min_read_rate,
            )
            yield await parse_body(data, self._fairness.time_slice)

    async def _call(self, method: str, request: Message, _: type[_Message]) -> _Message:
        """The response of a call, of the type that is named."""
        response: _Message = await self._client.call(method, request)
        return response


async def _json_answer(received: Message, shape: Callable[[], Any]) -> Response:
    """An answer with a shape that is made of what was received; of a large message in a thread."""
    return await run_in_thread_if_large(received.ByteSize(), lambda: json_answer(shape()))


def _to_validate(wanted: openapi_models.ValidateBody, body: Body) -> service.TaskValidateRequest:
    return service.TaskValidateRequest(schema=wanted.schema_text, inputs=body.member_text("inputs"))


def _to_run(wanted: openapi_models.RunBody, checked: service.TaskValidateRequest) -> service.TaskRunRequest:
    return service.TaskRunRequest(
        schema=wanted.schema_text,
        inputs=checked.inputs,
        # What makes it safe that the client repeats the call when the server was away.
        request_id=wanted.request_id or str(uuid.uuid4()),
        labels=wanted.labels,
        display_name=wanted.display_name,
    )


def _checked(shape: type[_Body], body: Body) -> _Body:
    """A body in the shape that it must have. Raises `RequestInvalid` with all that is wrong."""
    try:
        return shape.model_validate(body.value, strict=True)
    except ValidationError as error:
        raise RequestInvalid(*problems_of(error.errors())) from None


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _request_body(shape: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI tells of a body that is read here, and not by FastAPI."""
    schema = shape.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
