"""Handlers: the edge between gRPC's bytes and the servicer's methods.

Requests are decoded here and not by gRPC, so that a malformed one is the caller's mistake and not the server's. Answers may
be bytes already, and none is larger than allowed. Errors become rich statuses.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.rpc.errors import (
    RAISE_THE_LIMIT,
    ArgumentInvalid,
    MessageTooLarge,
    RequestTooLarge,
)
from flowgram_server.rpc.grpc_types import Context, Handler
from flowgram_server.rpc.large_requests import MAX_REST, decode_in_pieces, parts_of
from flowgram_server.rpc.malformed_requests import malformed_fields
from flowgram_server.rpc.message_budget import LARGE, MessageBudget
from flowgram_server.rpc.observed_calls import ObservedServer
from flowgram_server.rpc.rich_status import abort
from flowgram_server.rpc.servicer import RuntimeServicer, ServiceLimits

SERVICE_NAME: str = service.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].full_name

_Request = TypeVar("_Request", bound=Message)

_PER_TASK = ("TaskRun", "TaskResult", "TaskReport", "WatchTask")
"""The methods that are called for each task. With all of them as frequent ones, an empty call takes an eighth more."""

_WITH_TEXTS = frozenset({"schema", "defaults"})
"""Requests with one of these fields may be large."""
_FIRST_FIELDS = frozenset(
    service.TaskRunBatchRequest.DESCRIPTOR.fields_by_name[name].number
    for name in ("defaults", "max_in_flight")
)


def add_service(
    server: ObservedServer,
    servicer: RuntimeServicer,
    limits: ServiceLimits,
    max_held_bytes: int | None = None,
    guard: CallGuard | None = None,
) -> None:
    """Lets a server that has not started answer the methods of the service; see `service_handlers`."""
    handlers = service_handlers(servicer, limits, max_held_bytes, guard)
    server.add_methods(SERVICE_NAME, handlers, frequent=_PER_TASK)


def service_handlers(
    servicer: RuntimeServicer,
    limits: ServiceLimits,
    max_held_bytes: int | None = None,
    guard: CallGuard | None = None,
) -> dict[str, Handler]:
    """The handlers of all methods of the service, by name.

    Args:
        servicer: Does the work.
        limits: How large requests and answers may be. gRPC should let in requests that are a little larger, for it refuses
            them without a reason.
        max_held_bytes: What large requests and answers may hold together; None for a default.
        guard: Finds out who calls, before anything else is done; None: everybody may call.
    """
    max_message_bytes = limits.max_message_bytes
    messages = MessageBudget(max_message_bytes, max_held_bytes)

    def unary(
        method: Callable[[_Request, Context], Awaitable[Message | bytes]],
        request_type: type[_Request],
        advice: str = RAISE_THE_LIMIT,
    ) -> Handler:
        async def handle(data: bytes, context: Context) -> bytes:
            try:
                if len(data) <= LARGE:
                    answer = await method(_decode(request_type, data, limits), context)
                else:
                    with messages.request(len(data)):
                        await servicer.time_slice()
                        request = await _decode_large(request_type, data, limits)
                        del data  # what is in it was read
                        answer = await method(request, context)
                encoded = _encode(answer, max_message_bytes, advice)
                return encoded if len(encoded) <= LARGE else messages.answer(encoded, context)
            except Exception as error:  # noqa: BLE001 - every error becomes a status; defects are logged there
                await abort(context, error)

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(
        method: Callable[[_Request, Context], AsyncGenerator[bytes, None]], request_type: type[_Request]
    ) -> Handler:
        async def handle(data: bytes, context: Context) -> AsyncIterator[bytes]:
            try:
                _check_is_small(request_type, data)
                async with aclosing(method(_decode(request_type, data, limits), context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:  # noqa: BLE001 - as above
                await abort(context, error)

        return grpc.unary_stream_rpc_method_handler(handle)

    def bidirectional(
        method: Callable[[AsyncIterator[_Request], Context], AsyncGenerator[bytes, None]],
        request_type: type[_Request],
    ) -> Handler:
        async def handle(data: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
            async def requests() -> AsyncIterator[_Request]:
                async for each in data:
                    if len(each) <= LARGE:
                        yield _decode(request_type, each, limits)
                        continue
                    with messages.request(len(each)):
                        async for part in _decode_parts(request_type, each, limits):
                            yield part
                            await servicer.time_slice()

            try:
                async with aclosing(method(requests(), context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:  # noqa: BLE001 - as above
                await abort(context, error)

        return grpc.stream_stream_rpc_method_handler(handle)

    handlers = {
        "TaskRun": unary(servicer.task_run, service.TaskRunRequest),
        "TaskRunBatch": bidirectional(servicer.task_run_batch, service.TaskRunBatchRequest),
        "TaskValidate": unary(servicer.task_validate, service.TaskValidateRequest),
        "TaskGet": unary(servicer.task_get, service.TaskGetRequest),
        "TaskReport": unary(servicer.task_report, service.TaskReportRequest),
        "TaskResult": unary(servicer.task_result, service.TaskResultRequest),
        "TaskCancel": unary(servicer.task_cancel, service.TaskCancelRequest),
        "TaskList": unary(servicer.task_list, service.TaskListRequest, "ask for a smaller page"),
        "WatchTask": stream(servicer.watch_task, service.WatchTaskRequest),
        "WatchTasks": stream(servicer.watch_tasks, service.WatchTasksRequest),
        "ServerInfo": unary(servicer.server_info, service.ServerInfoRequest),
    }
    if guard is not None:
        handlers = {method: guard.guarded(method, handler) for method, handler in handlers.items()}
    return handlers


def _decode(request_type: type[_Request], data: bytes, limits: ServiceLimits) -> _Request:
    """The request that was sent. Raises `ArgumentInvalid` and `RequestTooLarge`."""
    _check_size(data, limits)
    try:
        return request_type.FromString(data)
    except DecodeError:
        raise ArgumentInvalid(*malformed_fields(request_type, data)) from None


async def _decode_large(request_type: type[_Request], data: bytes, limits: ServiceLimits) -> _Request:
    """The same of a large one, in a thread; other calls go on meanwhile. It may be something that stands for the request."""
    _check_size(data, limits)
    _check_is_small(request_type, data)
    return await asyncio.to_thread(decode_in_pieces, request_type, data)


async def _decode_parts(
    request_type: type[_Request], data: bytes, limits: ServiceLimits
) -> AsyncGenerator[_Request, None]:
    """The same of a request whose parts can be read one after the other: a large one of many runs."""
    _check_size(data, limits)
    for part in await asyncio.to_thread(parts_of, request_type, data, _FIRST_FIELDS):
        if len(part) <= LARGE:
            yield _decode(request_type, part, limits)
        else:
            yield await _decode_large(request_type, part, limits)


def _check_size(data: bytes, limits: ServiceLimits) -> None:
    size, limit = len(data), limits.max_request_bytes
    if size <= limit:
        return
    if limit == limits.max_message_bytes:
        raise RequestTooLarge(size, limit)
    raise RequestTooLarge(size, limit, "max_schema_bytes and max_inputs_bytes allow:")


def _check_is_small(request_type: type[Message], data: bytes) -> None:
    """Raises `RequestTooLarge` for a large request that has neither a schema nor inputs."""
    if len(data) > MAX_REST and not _WITH_TEXTS.intersection(request_type.DESCRIPTOR.fields_by_name):
        raise RequestTooLarge(len(data), MAX_REST, "a request without a schema may have:")


def _encode(answer: Message | bytes, max_bytes: int, advice: str) -> bytes:
    """The bytes of an answer. Raises `MessageTooLarge`, which says with `advice` how to get it."""
    encoded = answer if isinstance(answer, bytes) else answer.SerializeToString()
    if len(encoded) > max_bytes:
        raise MessageTooLarge(max_bytes, advice)
    return encoded
