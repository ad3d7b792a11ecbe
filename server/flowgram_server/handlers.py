"""Handlers: the edge between gRPC's bytes and the servicer's methods.

Requests are decoded here and not by gRPC, so that a malformed one is the caller's mistake and not the server's. Answers may
be bytes already, and none is larger than allowed. Errors become rich statuses.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import NoReturn, TypeVar

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram_server.access_log import note
from flowgram_server.errors import ArgumentInvalid, MessageTooLarge, Violation
from flowgram_server.grpc_types import Context, Handler
from flowgram_server.rich_status import DETAILS_KEY, rich_status
from flowgram_server.servicer import RuntimeServicer

SERVICE_NAME: str = service.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].full_name

_Request = TypeVar("_Request", bound=Message)


def service_handlers(servicer: RuntimeServicer, max_message_bytes: int) -> grpc.GenericRpcHandler:
    """The handlers of all methods of the service.

    Args:
        servicer: Does the work.
        max_message_bytes: No answer is larger.
    """

    def unary(
        method: Callable[[_Request, Context], Awaitable[Message | bytes]], request_type: type[_Request]
    ) -> Handler:
        async def handle(data: bytes, context: Context) -> bytes:
            try:
                return _encode(await method(_decode(request_type, data), context), max_message_bytes)
            except Exception as error:  # noqa: BLE001 - every error becomes a status; defects are logged there
                await _end(context, error)

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(
        method: Callable[[_Request, Context], AsyncGenerator[bytes, None]], request_type: type[_Request]
    ) -> Handler:
        async def handle(data: bytes, context: Context) -> AsyncIterator[bytes]:
            try:
                async with aclosing(method(_decode(request_type, data), context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:  # noqa: BLE001 - as above
                await _end(context, error)

        return grpc.unary_stream_rpc_method_handler(handle)

    return grpc.method_handlers_generic_handler(
        SERVICE_NAME,
        {
            "TaskRun": unary(servicer.task_run, service.TaskRunRequest),
            "TaskValidate": unary(servicer.task_validate, service.TaskValidateRequest),
            "TaskReport": unary(servicer.task_report, service.TaskReportRequest),
            "TaskResult": unary(servicer.task_result, service.TaskResultRequest),
            "TaskCancel": unary(servicer.task_cancel, service.TaskCancelRequest),
            "TaskList": unary(servicer.task_list, service.TaskListRequest),
            "WatchTask": stream(servicer.watch_task, service.WatchTaskRequest),
            "ServerInfo": unary(servicer.server_info, service.ServerInfoRequest),
        },
    )


async def _end(context: Context, error: Exception) -> NoReturn:
    status = rich_status(error)
    note(reason=status.reason)
    await context.abort(status.code, status.text, ((DETAILS_KEY, status.details),))


def _decode(request_type: type[_Request], data: bytes) -> _Request:
    """The request that was sent. Raises `ArgumentInvalid`."""
    try:
        return request_type.FromString(data)
    except DecodeError:
        raise ArgumentInvalid(*_malformed_fields(request_type, data)) from None


def _encode(answer: Message | bytes, max_bytes: int) -> bytes:
    """The bytes of an answer. Raises `MessageTooLarge`."""
    encoded = answer if isinstance(answer, bytes) else answer.SerializeToString()
    if len(encoded) > max_bytes:
        raise MessageTooLarge(max_bytes, "ask for VIEW_BASIC or a smaller page, or watch the task")
    return encoded


def _malformed_fields(request_type: type[Message], data: bytes) -> list[Violation]:
    """What is wrong with a request that cannot be decoded: the fields that are not UTF-8, or else all of it."""
    name = request_type.DESCRIPTOR.full_name
    try:
        fields = UnknownFieldSet(service.ServerInfoRequest.FromString(data))
    except DecodeError:
        return [Violation("", f"the request is not a {name}")]
    texts = {
        field.number: field.name
        for field in request_type.DESCRIPTOR.fields
        if field.type == FieldDescriptor.TYPE_STRING
    }
    violations = [
        Violation(texts[field.field_number], f"must be UTF-8, and is not at byte {position}")
        for field in (fields[index] for index in range(len(fields)))
        if field.field_number in texts and (position := _invalid_position(field.data)) is not None
    ]
    return violations or [Violation("", f"the request is not a {name}: is every text in it UTF-8?")]


def _invalid_position(data: object) -> int | None:
    """Where a text stops being UTF-8; None if it is."""
    try:
        if isinstance(data, bytes):
            data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None
