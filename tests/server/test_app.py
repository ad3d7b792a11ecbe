import asyncio
import gc
import json
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from support.serving import refusal, refused
from support.workflows import ECHO, END, ENDLESS, START, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    ServerInfoRequest,
    TaskCancelRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunRequest,
    TaskValidateRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_server.app import ListenError, Server, _options, open_server, serve
from flowgram_server.hosts import JOURNAL_FILE
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.rpc.report import ReportFold
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def settings_for(data: Path, **flags: Any) -> Settings:
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "",
            "data": data,
            "code": {"workers": 1},
            "shutdown_grace": 0.2,
            **flags,
        }
    )


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for(tmp_path)


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[Server]:
    async with open_server(settings) as server:
        yield server


@pytest.fixture
async def channel(server: Server) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield channel


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return WorkflowRuntimeServiceStub(channel)


async def test_one_task_through_every_call(stub: Any) -> None:
    """A workflow is validated, run, watched, reported and listed by the real thing, journal included."""
    request = TaskRunRequest(
        schema=ECHO, inputs='{"text":"hi"}', wait=True, request_id="r1", labels={"a": "b"}
    )
    assert (await stub.TaskValidate(TaskValidateRequest(schema=ECHO, inputs=request.inputs))).valid
    answer = await stub.TaskRun(request)
    assert (answer.status.status, json.loads(answer.outputs)) == (Status.STATUS_SUCCEEDED, {"text": "hi"})
    assert (await stub.TaskRun(request)).task_id == answer.task_id
    task_id = answer.task_id
    result = await stub.TaskResult(TaskResultRequest(task_id=task_id, wait=True))
    assert (result.status, result.outputs) == (answer.status, answer.outputs)
    report = (await stub.TaskReport(TaskReportRequest(task_id=task_id))).report
    assert [node.node_id for node in report.nodes] == ["start_0", "end_0"]
    events = [
        event
        async for response in stub.WatchTask(WatchTaskRequest(task_id=task_id))
        for event in response.events
    ]
    assert [event.sequence for event in events] == list(range(1, report.last_sequence + 1))
    assert events[-1].task_status_changed.status == report.status
    assert [task.task_id for task in (await stub.TaskList(TaskListRequest(labels={"a": "b"}))).tasks] == [
        task_id
    ]
    assert not (await stub.TaskCancel(TaskCancelRequest(task_id=task_id))).success


async def test_bad_requests(stub: Any) -> None:
    """What cannot run is refused with all its problems, and leaves no task behind."""
    received = await refused(stub.TaskRun(TaskRunRequest(schema="{}")))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "SCHEMA_INVALID")
    assert len(received.violations) > 1
    for schema in ("[", "null", '{"nodes": NaN}', "[" * 10_000):
        received = await refused(stub.TaskRun(TaskRunRequest(schema=schema)))
        assert received.reason == "SCHEMA_INVALID"
    for inputs in ("[", "[]", '{"text": NaN}', '{"a":' * 10_000):
        received = await refused(stub.TaskRun(TaskRunRequest(schema=ECHO, inputs=inputs)))
        assert (received.reason, received.violations[0][0]) == ("INPUTS_INVALID", "inputs")
    types = {"a": {"type": "string"}, "b": {"type": "string"}, "c": {"type": "string"}}
    outputs = {"type": "object", "properties": types, "required": ["a"]}
    demanding = chain(node("start_0", "start", outputs=outputs), END)
    received = await refused(stub.TaskRun(TaskRunRequest(schema=demanding, inputs='{"b": 1, "c": 1}')))
    assert (received.code, received.reason) == (StatusCode.INVALID_ARGUMENT, "INPUTS_INVALID")
    assert [field for field, _ in received.violations] == ["inputs.a", "inputs.b", "inputs.c"]
    run = await stub.TaskRun(TaskRunRequest(schema=ECHO, request_id="r1"))
    received = await refused(
        stub.TaskRun(TaskRunRequest(schema=ECHO, request_id="r1", inputs='{"text":"x"}'))
    )
    assert (received.code, received.reason) == (StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    last = (await stub.TaskReport(TaskReportRequest(task_id=run.task_id))).report.last_sequence
    received = await refused(stub.WatchTask(WatchTaskRequest(task_id=run.task_id, after_sequence=last + 1)))
    assert received.metadata == {"last_sequence": str(last)}
    assert len((await stub.TaskList(TaskListRequest())).tasks) == 1


async def test_oversize_requests(tmp_path: Path) -> None:
    """A request beyond the limit is refused with a reason, or far beyond it without; one just below is taken."""
    async with open_server(settings_for(tmp_path, max_message_bytes=5_000_000)) as server:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(server.address, options=options) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.TaskRun(TaskRunRequest(schema=ECHO, inputs=json.dumps({"text": "x" * 9_000_000})))
            assert error.value.code() is StatusCode.RESOURCE_EXHAUSTED
            request = TaskRunRequest(schema=ECHO)
            request.inputs = "x" * (5_000_001 - len(ECHO) - 8)
            assert request.ByteSize() == 5_000_001
            received = await refused(stub.TaskRun(request))
            assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
            assert (
                received.text
                == "the request has 5000001 bytes, more than the limit max_message_bytes = 5000000"
            )
            assert received.metadata == {"max_bytes": "5000000", "message": "request"}
            request.inputs = request.inputs[:-1]
            assert (await refused(stub.TaskRun(request))).reason == "INPUTS_INVALID"
            inputs = json.dumps({"text": "x" * 4_900_000})
            answer = await stub.TaskRun(TaskRunRequest(schema=ECHO, inputs=inputs))
            assert answer.task_id


async def test_requests_larger_than_all_that_is_accepted(tmp_path: Path) -> None:
    """A request that could hold no schema and no inputs within their limits is refused, however large messages may be."""
    settings = settings_for(tmp_path, max_schema_bytes=300_000, max_inputs_bytes=100_000)
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        received = await refused(stub.TaskRun(TaskRunRequest(schema=ECHO, inputs="x" * 1_500_000)))
    assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    assert "max_schema_bytes and max_inputs_bytes allow: 1448576" in received.text


async def test_oversize_watches(tmp_path: Path) -> None:
    """A stream is refused in the same way."""
    settings = settings_for(tmp_path, max_message_bytes=100_000)
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        received = await refused(stub.WatchTask(WatchTaskRequest(task_id="x" * 100_000)))
        assert (received.code, received.reason) == (StatusCode.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")


async def test_nothing_stays_of_an_answer_that_was_too_large(tmp_path: Path) -> None:
    """A report of some hundred megabytes that is asked for again and again would fill the memory before it is looked for garbage."""
    settings = settings_for(tmp_path, max_message_bytes=100_000)
    gc.disable()
    try:
        async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            inputs = json.dumps({"text": "x" * 60_000})
            run = await stub.TaskRun(TaskRunRequest(schema=ECHO, inputs=inputs))
            await stub.TaskResult(TaskResultRequest(task_id=run.task_id, wait=True))
            for _ in range(3):
                received = await refused(stub.TaskReport(TaskReportRequest(task_id=run.task_id)))
                assert received.reason == "MESSAGE_TOO_LARGE"
            await stub.ServerInfo(ServerInfoRequest())
            assert not [found for found in gc.get_objects() if isinstance(found, ReportFold)]
    finally:
        gc.enable()


async def test_metadata_has_a_limit_and_no_grey_zone(stub: Any) -> None:
    """Up to 16 KB always pass, beyond them none do: gRPC by itself refuses some of the calls in between."""
    for _ in range(20):
        await stub.ServerInfo(ServerInfoRequest(), metadata=[("token", "x" * 15_000)])
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ServerInfo(ServerInfoRequest(), metadata=[("token", "x" * 17_000)])
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_burst_of_calls_is_answered(stub: Any) -> None:
    """Thousands of calls that come at once wait for their turn, and none is canceled."""
    await asyncio.gather(*(stub.ServerInfo(ServerInfoRequest()) for _ in range(3000)))


async def test_large_messages_pass(stub: Any, server: Server) -> None:
    """Messages larger than gRPC's own limit of 4 MB pass in both directions."""
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub = WorkflowRuntimeServiceStub(channel)
        request = TaskRunRequest(schema=ECHO, inputs=json.dumps({"text": "x" * 6_000_000}), wait=True)
        assert len((await stub.TaskRun(request)).outputs) > 6_000_000


async def test_health(channel: grpc.aio.Channel, server: Server) -> None:
    """The health service knows the server and the service by name, and says NOT_SERVING once the server drains."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE_NAME):
        assert (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status == SERVING
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.Check(health_pb2.HealthCheckRequest(service="other"))
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    drain = asyncio.create_task(server.drain(0.2))
    assert (await watch.read()).status == NOT_SERVING
    await drain


async def test_reflection(channel: grpc.aio.Channel) -> None:
    """Tools such as grpcurl find the service without its protos."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    names = [service.name async for answer in call for service in answer.list_services_response.service]
    assert {SERVICE_NAME, "grpc.health.v1.Health"} <= set(names)


REFLECTED = """
import asyncio, sys
import grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from flowgram_server.app import open_server
from flowgram_server.settings.loading import load_settings

async def main():
    flags = {"listen": "127.0.0.1:0", "storage": "memory", "access_log": False}
    async with open_server(load_settings(flags=flags)) as server:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=sys.argv[1])
            async for answer in stub.ServerReflectionInfo(iter([asked])):
                print(len(answer.file_descriptor_response.file_descriptor_proto))

asyncio.run(main())
"""


async def test_reflection_knows_the_reasons() -> None:
    """Those that clients branch on are reported too, though no method names them; in a process that nothing else imports in."""
    symbol = "flowgram.runtime.v1.ErrorReason"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", REFLECTED, symbol), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert int(out) >= 1


async def test_tasks_survive_the_server(settings: Settings) -> None:
    """A task that was running when the server ended goes on under the next one, with the same events."""
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        task_id = (await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id
        before = await stub.WatchTask(WatchTaskRequest(task_id=task_id)).read()
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub = WorkflowRuntimeServiceStub(channel)
        assert await stub.WatchTask(WatchTaskRequest(task_id=task_id)).read() == before
        assert (await stub.TaskCancel(TaskCancelRequest(task_id=task_id, reason="enough"))).success


async def test_draining(server: Server, stub: Any) -> None:
    """A draining server ends watches and takes no tasks, both with SHUTTING_DOWN, and then is gone."""
    task_id = (await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id
    watch = stub.WatchTask(WatchTaskRequest(task_id=task_id))
    await watch.read()
    waiting = stub.TaskRun(TaskRunRequest(schema=ENDLESS, wait=True))
    while len((await stub.TaskList(TaskListRequest())).tasks) < 2:
        pass
    drain = asyncio.create_task(server.drain(0.5))
    received = await refused(watch)
    assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert (await waiting).status.status == Status.STATUS_PROCESSING
    received = await refused(stub.TaskRun(TaskRunRequest(schema=ECHO)))
    assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    await drain
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.ServerInfo(ServerInfoRequest())
    assert error.value.code() is StatusCode.UNAVAILABLE


async def test_an_idle_server_drains_at_once(server: Server) -> None:
    """Without running tasks nothing keeps a server from ending, whatever its grace."""
    await asyncio.wait_for(server.drain(3600), timeout=20)


async def test_first_request_to_stop_drains(settings: Settings) -> None:
    """`serve` runs until it is asked to stop, and then drains."""
    stops = StopSignals()
    answered = asyncio.Event()

    async def on_ready(server: Server) -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            await WorkflowRuntimeServiceStub(channel).ServerInfo(ServerInfoRequest())
        answered.set()

    serving = asyncio.create_task(serve(settings, stops, on_ready))
    await answered.wait()
    assert not serving.done()
    stops.stop()
    await serving


async def test_second_request_to_stop_ends_at_once(tmp_path: Path) -> None:
    """A second request does not wait for the grace period; the running task goes on after the next start."""
    settings = settings_for(tmp_path, shutdown_grace=3600)
    stops = StopSignals()
    started = asyncio.Event()

    async def on_ready(server: Server) -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            await stub.TaskRun(TaskRunRequest(schema=ENDLESS))
        started.set()

    serving = asyncio.create_task(serve(settings, stops, on_ready))
    await started.wait()
    stops.stop()
    stops.stop()
    await asyncio.wait_for(serving, timeout=20)
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        (task,) = (await stub.TaskList(TaskListRequest())).tasks
        assert task.status.status == Status.STATUS_PROCESSING


async def test_a_request_to_stop_while_the_journal_is_opened(settings: Settings) -> None:
    """The server does not start; the journal, whose opening cannot be broken off, is closed as soon as it is open."""
    async with open_server(settings):
        pass
    holder = sqlite3.connect(settings.data / JOURNAL_FILE, isolation_level=None)
    holder.execute("PRAGMA journal_mode = DELETE")
    holder.execute("BEGIN EXCLUSIVE")
    lock = settings.data / f"{JOURNAL_FILE}.lock"
    lock.write_bytes(b"")
    stops = StopSignals()
    serving = asyncio.create_task(serve(settings, stops))
    while not lock.read_bytes():  # noqa: ASYNC110 - nothing else tells
        await asyncio.sleep(0)
    stops.stop()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not serving.done()
    holder.execute("COMMIT")
    holder.close()
    await serving
    async with open_server(settings):
        pass


async def test_a_port_that_is_taken(tmp_path: Path) -> None:
    """A server that cannot listen says where, and leaves nothing open."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = settings_for(tmp_path, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(ListenError, match=r"127\.0\.0\.1"):
            async with open_server(settings):
                pass
    async with open_server(settings_for(tmp_path)):
        pass


async def test_two_servers_do_not_share_a_port(server: Server, tmp_path: Path) -> None:
    """A second server on the same port is an error, not a second half of the calls."""
    with pytest.raises(ListenError):
        async with open_server(settings_for(tmp_path / "other", listen=server.address)):
            pass


async def test_two_servers_do_not_share_a_journal(server: Server, settings: Settings) -> None:
    """A second server on the same directory is refused."""
    with pytest.raises(JournalUnavailable):
        async with open_server(settings):
            pass


async def test_memory_storage_leaves_no_file(tmp_path: Path) -> None:
    """With storage in memory nothing is written."""
    settings = settings_for(tmp_path / "data", storage="memory")
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        assert (await stub.TaskRun(TaskRunRequest(schema=ECHO, wait=True))).outputs
    assert not settings.data.exists()


def test_no_two_servers_share_a_port(settings: Settings) -> None:
    """Calls would go to either of them."""
    assert dict(_options(settings, 10))["grpc.so_reuseport"] == 0


async def test_a_watcher_of_a_task_that_is_removed_ends_with_not_found(tmp_path: Path) -> None:
    """One that is so far behind that the rest of the log is gone: it must not take what it saw for all there was."""
    setting = {"operator": "declare", "left": "v", "right": {"type": "ref", "content": ["start_0", "text"]}}
    schema = chain(START, *(node(f"set_{number}", "variable", assign=[setting]) for number in range(60)), END)
    inputs = json.dumps({"text": "x" * 500_000})
    settings = settings_for(tmp_path, retention_age=0.3, retention_interval=0.05)
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        task_id = (await stub.TaskRun(TaskRunRequest(schema=schema, inputs=inputs))).task_id
        async with grpc.aio.insecure_channel(server.address) as late:
            watch = WorkflowRuntimeServiceStub(late).WatchTask(WatchTaskRequest(task_id=task_id))
            assert (await watch.read()).events[0].sequence == 1
            received = None
            while received is None:
                try:
                    await stub.TaskResult(TaskResultRequest(task_id=task_id, wait=True))
                except grpc.aio.AioRpcError as error:
                    received = refusal(error)
            assert received.reason == "TASK_NOT_FOUND"
            seen = [1]

            async def read_on() -> None:
                while (response := await watch.read()) is not grpc.aio.EOF:
                    seen.extend(event.sequence for event in response.events)

            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read_on()
            assert refusal(caught.value).reason == "TASK_NOT_FOUND"
            assert seen[-1] < 60
