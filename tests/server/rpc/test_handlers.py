import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from structlog.testing import capture_logs
from support.fake_application import NOW, SCHEMA, FakeApplication, record
from support.fakes import FakeClock
from support.serving import Service, refused, serving

from flowgram.runtime.v1 import runtime_service_pb2 as service_pb2
from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskResultResponse,
    TaskRunRequest,
    TaskRunResponse,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.hosting.secrets import Secrets
from flowgram_server.rpc.convert.arguments import MAX_VIOLATIONS
from flowgram_server.rpc.handlers import SERVICE_NAME, add_service, service_handlers
from flowgram_server.rpc.observed_calls import ObservedServer
from flowgram_server.rpc.servicer import RuntimeServicer, ServiceLimits


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with serving() as service:
        yield service


def raw(service: Service, method: str) -> grpc.aio.UnaryUnaryMultiCallable:
    """A method that takes and gives bytes as they are."""
    return service.channel.unary_unary(f"/{SERVICE_NAME}/{method}")


def test_every_method_of_the_contract_has_a_handler() -> None:
    """The contract's methods are all there, unary or streaming as the contract has them."""
    handlers = service_handlers(RuntimeServicer(None, None, None, ServiceLimits()), ServiceLimits())  # type: ignore[arg-type]
    for method in service_pb2.DESCRIPTOR.services_by_name["WorkflowRuntimeService"].methods:
        handler = handlers[method.name]
        assert (handler.request_streaming, handler.response_streaming) == (
            method.client_streaming,
            method.server_streaming,
        )


@pytest.mark.parametrize(
    ("method", "data", "violations"),
    [
        ("TaskRun", b"\x0a\x03a\xffb", [("schema", "must be UTF-8, and is not at byte 1")]),
        (
            "TaskRun",
            b"\x0a\x01\xff\x12\x02a\xff",
            [
                ("schema", "must be UTF-8, and is not at byte 0"),
                ("inputs", "must be UTF-8, and is not at byte 1"),
            ],
        ),
        ("TaskCancel", b"\x0a\x02t1\x12\x01\xc0", [("reason", "must be UTF-8, and is not at byte 0")]),
        (
            "TaskRun",
            b"\x2a\x06\x0a\x01\xff\x12\x01\xfe\x2a\x07\x0a\x01k\x12\x02v\xff",
            [
                ("labels", "key: must be UTF-8, and is not at byte 0"),
                ("labels", "value: must be UTF-8, and is not at byte 0"),
                ("labels", "value: must be UTF-8, and is not at byte 1"),
            ],
        ),
        ("TaskList", b"\x22\x03\x0a\x01\xff", [("labels", "key: must be UTF-8, and is not at byte 0")]),
    ],
)
async def test_text_that_is_not_utf8(
    service: Service, method: str, data: bytes, violations: list[tuple[str, str]]
) -> None:
    """Text that is not UTF-8 is the caller's mistake, and every such field is named with the place in it."""
    received = await refused(raw(service, method)(data))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert received.violations == violations


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x7fabc", b"\x0a\x01\xff\xff"])
async def test_bytes_that_are_no_request(service: Service, data: bytes) -> None:
    """Bytes that are no request of this method are the caller's mistake, and the type that they should be is named."""
    received = await refused(raw(service, "TaskRun")(data))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    assert "flowgram.runtime.v1.TaskRunRequest" in received.text


async def test_a_field_that_is_no_message(service: Service) -> None:
    """A field whose bytes are no message of its type is named."""
    received = await refused(raw(service, "TaskRun")(b"\x22\x01\xff"))
    assert received.violations == [("timeout", "is not a google.protobuf.Duration")]


async def test_of_very_many_malformed_texts_some_are_reported(service: Service) -> None:
    """A request that is wrong at every byte makes no list of violations as long."""
    received = await refused(raw(service, "TaskList")(b"\x22\x03\x0a\x01\xff" * 10_000))
    assert received.violations[-1][1].startswith("and ")
    assert int(received.violations[-1][1].split()[1]) < MAX_VIOLATIONS


async def test_a_malformed_watch(service: Service) -> None:
    """A stream is refused in the same way."""
    call = service.channel.unary_stream(f"/{SERVICE_NAME}/WatchTask")(b"\x0a\x01\xff")
    received = await refused(call)
    assert (received.code, received.violations[0][0]) == (StatusCode.INVALID_ARGUMENT, "task_id")


@pytest.mark.parametrize("method", ["TaskList", "TaskCancel", "TaskReport", "ServerInfo"])
async def test_a_large_request_without_a_schema_is_refused(service: Service, method: str) -> None:
    """There is nothing in it that may be large, and to decode a million labels takes long."""
    received = await refused(raw(service, method)(b"\x1a\x00" * 150_000))
    assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    call = service.channel.unary_stream(f"/{SERVICE_NAME}/WatchTasks")(b"\x1a\x00" * 150_000)
    assert (await refused(call)).reason == "MESSAGE_TOO_LARGE"


async def test_a_large_request_reaches_the_service_as_it_was_sent(service: Service) -> None:
    """Its texts are decoded elsewhere."""
    await service.stub.TaskRun(TaskRunRequest(schema=SCHEMA, inputs="ä" * 200_000, labels={"a": "b"}))
    request = service.application.requests[-1]
    assert (request.schema, request.inputs, request.labels) == (SCHEMA, "ä" * 200_000, {"a": "b"})


async def test_a_large_request_that_is_malformed(service: Service) -> None:
    """The caller gets to know which field is wrong."""
    received = await refused(raw(service, "TaskRun")(b"\x0a\xc0\xb8\x02" + b"a" * 39_999 + b"\xff"))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
    text = b"a" * 199_999 + b"\xff"
    received = await refused(raw(service, "TaskRun")(b"\x0a\xc0\x9a\x0c" + text))
    assert received.violations == [("schema", "must be UTF-8, and is not at byte 199999")]


async def test_unknown_fields_are_ignored(service: Service) -> None:
    """A request of a newer contract is understood as far as it is known."""
    assert await raw(service, "ServerInfo")(b"\xfa\x3e\x03abc")


async def test_unknown_methods(service: Service) -> None:
    """A method that does not exist is UNIMPLEMENTED."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(service, "TaskFly")(b"")
    assert error.value.code() is StatusCode.UNIMPLEMENTED


async def test_answers_that_are_too_large() -> None:
    """An answer beyond the limit is an error that says what to do, and not a broken connection."""
    async with serving(ServiceLimits(max_message_bytes=70_000)) as service:
        many = {f"t{n}": record(f"t{n}", order=n, labels={"k": "v" * 500}) for n in range(1, 200)}
        service.application.records.update(many)
        received = await refused(service.stub.TaskList(TaskListRequest(page_size=200)))
        assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert "smaller page" in received.text
        assert len((await service.stub.TaskList(TaskListRequest(page_size=100))).tasks) == 100
        result = TaskResultResponse(outputs="x" * 70_000).SerializeToString()
        service.application.records["t1"] = record(status=3, end_time=NOW, result=result)
        received = await refused(service.stub.TaskResult(TaskResultRequest(task_id="t1")))
        assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
        assert received.text.endswith("only a server with a higher limit can send it")
        assert (await service.stub.TaskRun(TaskRunRequest(schema=SCHEMA))).task_id == "t1"


async def test_a_defect_is_logged_and_not_reported(service: Service) -> None:
    """An unexpected error ends the call with INTERNAL and an id that the log has, too; the next call is answered."""
    service.application.raises = ZeroDivisionError("/secret/path")
    with capture_logs() as logs:
        received = await refused(service.stub.TaskReport(TaskReportRequest(task_id="t1")))
    assert (received.code, received.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in received.text
    assert [line["error_id"] for line in logs] == [received.metadata["error_id"]]
    assert await service.stub.ServerInfo(ServerInfoRequest())


class Abandoned:
    """The context of a call whose client may leave at any time; nobody is notified."""

    def __init__(self, left: float | None) -> None:
        self.left = left

    def time_remaining(self) -> float | None:
        return self.left

    async def abort(self, code: StatusCode, *_: object) -> None:
        raise AssertionError(f"ended with {code}")


def handler_of(application: FakeApplication, method: str) -> Any:
    servicer = RuntimeServicer(application, FakeClock(), Secrets(), ServiceLimits())
    return service_handlers(servicer, ServiceLimits(max_message_bytes=1_000_000))[method]


@pytest.mark.parametrize("left", [None, 3600.0])
async def test_a_call_that_is_cancelled_ends_cancelled(left: float | None) -> None:
    """A cancellation passes through the handler of a call that waits, and does not become an answer or a status."""
    application = FakeApplication()
    request = TaskResultRequest(task_id="t1", wait=True).SerializeToString()
    handler = handler_of(application, "TaskResult")
    call = asyncio.ensure_future(handler.unary_unary(request, Abandoned(left)))
    await application.waiting.wait()
    call.cancel()
    await asyncio.wait((call,))
    assert call.cancelled()


async def test_a_stream_that_is_cancelled_ends_cancelled() -> None:
    """The same of a watch, which is closed besides."""
    application = FakeApplication()
    request = WatchTaskRequest(task_id="t1").SerializeToString()
    answers = handler_of(application, "WatchTask").unary_stream(request, Abandoned(None))
    call = asyncio.ensure_future(anext(answers))
    await application.opened_watch.wait()
    call.cancel()
    await asyncio.wait((call,))
    assert call.cancelled()
    assert application.open_watches == 0


async def test_a_large_request_is_decoded_when_it_is_due() -> None:
    """Many that come at once would else hold up all others; a small one waits for nothing."""
    application = FakeApplication()
    application.slices_go_on.clear()
    handler = handler_of(application, "TaskRun").unary_unary
    small = TaskRunRequest(schema="{}")
    answer = TaskRunResponse.FromString(await handler(small.SerializeToString(), Abandoned(None)))
    assert (answer.task_id, application.time_slices) == ("t1", 0)
    large = TaskRunRequest(schema="{}", inputs=" " * 200_000)
    call = asyncio.ensure_future(handler(large.SerializeToString(), Abandoned(None)))
    await asyncio.sleep(0)
    assert (len(application.requests), application.time_slices) == (1, 1)
    application.slices_go_on.set()
    await call
    assert len(application.requests) == 2


async def test_large_messages_share_a_budget() -> None:
    """While large requests are under way beyond it, one more is refused for now; small ones go on."""
    application = FakeApplication()
    servicer = RuntimeServicer(application, FakeClock(), Secrets(), ServiceLimits())
    server = grpc.aio.server()
    add_service(
        ObservedServer(server), servicer, ServiceLimits(max_message_bytes=10**6), max_held_bytes=500_000
    )
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        large = TaskRunRequest(schema="x" * 300_000, wait=True)
        first = stub.TaskRun(large)
        await application.waiting.wait()
        found = await refused(stub.TaskRun(large))
        assert (found.code, found.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MEMORY_LIMIT")
        assert found.retry_after > 0
        assert (await stub.ServerInfo(ServerInfoRequest())).name
        application.records["t1"] = record(status=3, end_time=NOW)
        application.ended.set()
        await first
        assert (await stub.TaskRun(large)).task_id == "t1"
    await server.stop(None)
