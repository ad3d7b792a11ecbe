import asyncio
import re
from itertools import count
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from support.fake_application import NOW, batch_of
from support.serving import refused, serving

from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskCancelRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram_core.engine.events import MessageLogged, MessageType
from flowgram_server.rpc.access_log import AccessLog, note
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.rpc.observed_calls import ObservedServer


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.changed = asyncio.Event()

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append({"level": "info", "event": event, **fields})
        self.changed.set()

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"level": "error", "event": event, **fields})
        self.changed.set()

    async def line(self) -> dict[str, Any]:
        """The only line, without the peer, whose port is another one each time."""
        await self.changed.wait()
        (line,) = self.lines
        assert re.fullmatch(r"(127\.0\.0\.1|\[::1\]):[0-9]+", line["peer"])
        return {name: value for name, value in line.items() if name != "peer"}


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def access_log(lines: Lines) -> AccessLog:
    return AccessLog(lines)  # type: ignore[arg-type]  # has what is used


def logging(access_log: AccessLog) -> Any:
    """A service whose calls are logged, and whose clock ticks whenever somebody looks."""
    ticks = count()
    return serving(observers=[access_log], clock=lambda: float(next(ticks)))


def line(method: str, code: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {
        "level": level,
        "event": "call",
        "method": f"/{SERVICE_NAME}/{method}",
        "code": code,
        "ms": 1000.0,
        **fields,
    }


async def test_an_answered_call(lines: Lines, access_log: AccessLog) -> None:
    """One line for a call: method, status, duration and task; nothing of what was sent."""
    async with logging(access_log) as service:
        await service.stub.TaskRun(TaskRunRequest(schema='{"apiKey":"sk-1"}', inputs='{"a":1}'))
        assert await lines.line() == line("TaskRun", "OK", task_id="t1")


async def test_a_refused_call(lines: Lines, access_log: AccessLog) -> None:
    """A refusal is logged with its reason."""
    async with logging(access_log) as service:
        await refused(service.stub.TaskReport(TaskReportRequest(task_id="t9")))
        assert await lines.line() == line("TaskReport", "NOT_FOUND", task_id="t9", reason="TASK_NOT_FOUND")


@pytest.mark.parametrize(
    "request_type", [TaskReportRequest, TaskResultRequest, TaskCancelRequest, WatchTaskRequest]
)
async def test_an_endless_task_id(lines: Lines, access_log: AccessLog, request_type: Any) -> None:
    """It is refused by its length, and does not fill the log."""
    request = request_type(task_id="x" * 200_000)
    method = request_type.__name__.removesuffix("Request")
    async with logging(access_log) as service:
        refusal = await refused(getattr(service.stub, method)(request))
        assert refusal.violations == [("task_id", "must have at most 256 characters, not 200000")]
        received = await lines.line()
        assert (received["code"], received["reason"]) == ("INVALID_ARGUMENT", "ARGUMENT_INVALID")
        assert received.get("task_id") in {None, "x" * 127 + "…"}
        assert len(str(received)) < 500


async def test_the_longest_task_id(lines: Lines, access_log: AccessLog) -> None:
    """It may be that of a task; the log shows where it begins."""
    async with logging(access_log) as service:
        refusal = await refused(service.stub.TaskReport(TaskReportRequest(task_id="x" * 256)))
        assert refusal.code is StatusCode.NOT_FOUND
        assert (await lines.line())["task_id"] == "x" * 127 + "…"


async def test_a_defect(lines: Lines, access_log: AccessLog) -> None:
    """What is the server's own fault is logged as an error."""
    async with logging(access_log) as service:
        service.application.raises = ZeroDivisionError()
        await refused(service.stub.TaskReport(TaskReportRequest(task_id="t1")))
        assert await lines.line() == line("TaskReport", "INTERNAL", "error", task_id="t1", reason="INTERNAL")


async def test_a_stream(lines: Lines, access_log: AccessLog) -> None:
    """A stream is one line, when it has ended."""
    async with logging(access_log) as service:
        call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
        service.application.watched.put_nowait(batch_of(MessageLogged(1, NOW, "m", MessageType.LOG, "x", "")))
        await call.read()
        assert not lines.lines
        service.application.watched.put_nowait(None)
        assert await lines.line() == line("WatchTask", "OK", task_id="t1")


async def test_a_refused_stream(lines: Lines, access_log: AccessLog) -> None:
    """A refused stream is logged like a refused call."""
    async with logging(access_log) as service:
        await refused(service.stub.WatchTask(WatchTaskRequest(task_id="t9")))
        assert await lines.line() == line("WatchTask", "NOT_FOUND", task_id="t9", reason="TASK_NOT_FOUND")


@pytest.mark.parametrize("method", ["WatchTask", "TaskResult"])
async def test_a_client_that_leaves(lines: Lines, access_log: AccessLog, method: str) -> None:
    """A call whose client has left is CANCELLED in the log."""
    async with logging(access_log) as service:
        if method == "WatchTask":
            call = service.stub.WatchTask(WatchTaskRequest(task_id="t1"))
            await service.application.opened_watch.wait()
        else:
            call = service.stub.TaskResult(TaskResultRequest(task_id="t1", wait=True))
            await service.application.waiting.wait()
        call.cancel()
        assert await lines.line() == line(method, "CANCELLED", task_id="t1")


async def test_a_deadline_that_passes(lines: Lines, access_log: AccessLog) -> None:
    """A call that was too slow for its client is DEADLINE_EXCEEDED in the log."""
    async with logging(access_log) as service:
        with pytest.raises(grpc.aio.AioRpcError):
            await service.stub.WatchTask(WatchTaskRequest(task_id="t1"), timeout=0.2).read()
        assert await lines.line() == line("WatchTask", "DEADLINE_EXCEEDED", task_id="t1")


async def test_calls_do_not_mix(lines: Lines, access_log: AccessLog) -> None:
    """Calls at the same time have their own lines."""
    async with logging(access_log) as service:
        waiting = service.stub.TaskResult(TaskResultRequest(task_id="t1", wait=True))
        await service.application.waiting.wait()
        await refused(service.stub.TaskReport(TaskReportRequest(task_id="t9")))
        await service.stub.ServerInfo(ServerInfoRequest())
        waiting.cancel()
        while len(lines.lines) < 3:
            lines.changed.clear()
            await lines.changed.wait()
        assert [found.get("task_id") for found in lines.lines] == ["t9", None, "t1"]


async def test_methods_that_do_not_exist(lines: Lines, access_log: AccessLog) -> None:
    """A method that nobody serves stays UNIMPLEMENTED, and is not logged: there are endlessly many."""
    async with logging(access_log) as service:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await service.channel.unary_unary("/x/y")(b"")
        assert error.value.code() is StatusCode.UNIMPLEMENTED
        assert not lines.lines


async def test_handlers_of_every_kind(lines: Lines, access_log: AccessLog) -> None:
    """Handlers that write to the context, and those that read a stream, are logged as well."""

    async def writer(request: bytes, context: Any) -> None:
        note(kind="writer")
        await context.write(request)

    async def echo(requests: Any, context: Any) -> Any:
        note(kind="echo")
        async for request in requests:
            yield request

    async def last(requests: Any, context: Any) -> bytes:
        note(kind="last")
        return [request async for request in requests][-1]

    server = grpc.aio.server()
    handlers = {
        "writer": grpc.unary_stream_rpc_method_handler(writer),
        "echo": grpc.stream_stream_rpc_method_handler(echo),
        "last": grpc.stream_unary_rpc_method_handler(last),
    }
    ObservedServer(server, [access_log]).add_registered_method_handlers("x", handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            assert [answer async for answer in channel.unary_stream("/x/writer")(b"1")] == [b"1"]
            assert [answer async for answer in channel.stream_stream("/x/echo")([b"1", b"2"])] == [b"1", b"2"]
            assert await channel.stream_unary("/x/last")([b"1", b"2"]) == b"2"
    finally:
        await server.stop(None)
    assert [(found["kind"], found["code"]) for found in lines.lines] == [
        ("writer", "OK"),
        ("echo", "OK"),
        ("last", "OK"),
    ]


async def test_only_faults_are_logged_where_the_other_lines_would_be_dropped(lines: Lines) -> None:
    """A call that fails by the server's own fault gets its line, with the peer; what clients do wrong, or right, gets none."""
    async with logging(AccessLog(lines, only_faults=True)) as service:  # type: ignore[arg-type]  # has what is used
        await service.stub.ServerInfo(ServerInfoRequest())
        await refused(service.stub.TaskResult(TaskResultRequest()))
        service.application.raises = ZeroDivisionError()
        await refused(service.stub.TaskReport(TaskReportRequest(task_id="t1")))
        assert await lines.line() == line("TaskReport", "INTERNAL", "error", task_id="t1", reason="INTERNAL")
