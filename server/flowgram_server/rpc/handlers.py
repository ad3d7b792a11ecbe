"""Handlers: the edge between gRPC's bytes and the servicer's methods.

Requests are decoded here and not by gRPC, so that a malformed one is the caller's mistake and not the server's. Answers may
be bytes already, and none is larger than allowed. Errors become rich statuses.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing
from itertools import islice
from typing import TypeVar, cast

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.rpc.convert.arguments import MAX_VIOLATIONS
from flowgram_server.rpc.errors import (
    RAISE_THE_LIMIT,
    ArgumentInvalid,
    MessageTooLarge,
    RequestTooLarge,
    Violation,
)
from flowgram_server.rpc.grpc_types import Context, Handler
from flowgram_server.rpc.message_budget import LARGE, MessageBudget
from flowgram_server.rpc.observed_calls import ObservedServer
from flowgram_server.rpc.rich_status import abort
from flowgram_server.rpc.servicer import RuntimeServicer

SERVICE_NAME: str = service.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].full_name

_Request = TypeVar("_Request", bound=Message)


def add_service(
    server: ObservedServer,
    servicer: RuntimeServicer,
    max_message_bytes: int,
    max_held_bytes: int | None = None,
    guard: CallGuard | None = None,
) -> None:
    """Lets a server that has not started answer the methods of the service; see `service_handlers`."""
    handlers = service_handlers(servicer, max_message_bytes, max_held_bytes, guard)
    server.add_registered_method_handlers(SERVICE_NAME, handlers)


def service_handlers(
    servicer: RuntimeServicer,
    max_message_bytes: int,
    max_held_bytes: int | None = None,
    guard: CallGuard | None = None,
) -> dict[str, Handler]:
    """The handlers of all methods of the service, by name.

    Args:
        servicer: Does the work.
        max_message_bytes: No request and no answer is larger. gRPC should let in requests that are a little larger, for
            it refuses them without a reason.
        max_held_bytes: What large requests and answers may hold together; None for a default.
        guard: Finds out who calls, before anything else is done; None: everybody may call.
    """
    messages = MessageBudget(max_message_bytes, max_held_bytes)

    def unary(
        method: Callable[[_Request, Context], Awaitable[Message | bytes]],
        request_type: type[_Request],
        advice: str = RAISE_THE_LIMIT,
    ) -> Handler:
        async def handle(data: bytes, context: Context) -> bytes:
            try:
                if len(data) <= LARGE:
                    answer = await method(_decode(request_type, data, max_message_bytes), context)
                else:
                    with messages.request(len(data)):
                        await servicer.time_slice()
                        answer = await method(_decode(request_type, data, max_message_bytes), context)
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
                async with aclosing(
                    method(_decode(request_type, data, max_message_bytes), context)
                ) as answers:
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
                    with messages.request(len(each)):
                        if len(each) > LARGE:
                            await servicer.time_slice()
                        yield _decode(request_type, each, max_message_bytes)

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


def _decode(request_type: type[_Request], data: bytes, max_bytes: int) -> _Request:
    """The request that was sent. Raises `ArgumentInvalid` and `RequestTooLarge`."""
    if len(data) > max_bytes:
        raise RequestTooLarge(len(data), max_bytes)
    try:
        return request_type.FromString(data)
    except DecodeError:
        raise ArgumentInvalid(*_malformed_fields(request_type, data)) from None


def _encode(answer: Message | bytes, max_bytes: int, advice: str) -> bytes:
    """The bytes of an answer. Raises `MessageTooLarge`, which says with `advice` how to get it."""
    encoded = answer if isinstance(answer, bytes) else answer.SerializeToString()
    if len(encoded) > max_bytes:
        raise MessageTooLarge(max_bytes, advice)
    return encoded


def _malformed_fields(request_type: type[Message], data: bytes) -> list[Violation]:
    """What is wrong with a request that cannot be decoded: the fields that are malformed, or else all of it."""
    name = request_type.DESCRIPTOR.full_name
    try:
        violations = list(
            islice(_violations(cast("Descriptor", request_type.DESCRIPTOR), data), MAX_VIOLATIONS)
        )
    except DecodeError:
        return [Violation("", f"the request is not a {name}")]
    return violations or [Violation("", f"the request is not a {name}: is every text in it UTF-8?")]


def _violations(message_type: Descriptor, data: bytes) -> Iterator[Violation]:
    """The malformed texts and messages in the bytes of a message. Raises `DecodeError`."""
    fields = UnknownFieldSet(Empty.FromString(data))
    known = message_type.fields_by_number
    for field in (fields[index] for index in range(len(fields))):
        declared = known.get(field.field_number)
        if declared is None or not isinstance(field.data, bytes):
            continue
        if declared.type == FieldDescriptor.TYPE_STRING:
            position = _invalid_position(field.data)
            if position is not None:
                yield Violation(declared.name, f"must be UTF-8, and is not at byte {position}")
        elif declared.message_type is not None:
            yield from _violations_within(declared.name, declared.message_type, field.data)


def _violations_within(name: str, message_type: Descriptor, data: bytes) -> Iterator[Violation]:
    """The same of a field that is a message, or of an entry of a map; all have the name of the field."""
    try:
        for violation in _violations(message_type, data):
            yield Violation(name, f"{violation.field}: {violation.description}")
    except DecodeError:
        yield Violation(name, f"is not a {message_type.full_name}")


def _invalid_position(data: bytes) -> int | None:
    """Where a text stops being UTF-8; None if it is."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None
