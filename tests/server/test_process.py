"""The server as a process of its own, and the signals that end it."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.graphs import edge, end, node, start
from support.packages import add_package
from support.processes import line, server_process, starting_process
from support.serving import refused
from support.workflows import ENDLESS

from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends watches with UNAVAILABLE, and the process with status 0."""
    async with (
        server_process(tmp_path, 0.2) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        task = await stub.TaskRun(TaskRunRequest(schema=ENDLESS))
        watch = stub.WatchTask(WatchTaskRequest(task_id=task.task_id))
        await watch.read()
        process.send_signal(number)
        assert (await refused(watch)).reason == "SHUTTING_DOWN"
        await line(process, "stopped")
        assert await process.wait() == 0


async def test_a_drained_server_is_taken_up_again(tmp_path: Path) -> None:
    """While it drains it says NOT_SERVING and takes no tasks; after a restart watchers go on where they were."""
    async with (
        server_process(tmp_path, 3600) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        watch_health = health.Watch(health_pb2.HealthCheckRequest())
        assert (await watch_health.read()).status == health_pb2.HealthCheckResponse.SERVING
        task_id = (await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id
        watch = stub.WatchTask(WatchTaskRequest(task_id=task_id))
        seen = list((await watch.read()).events)
        process.send_signal(signal.SIGTERM)
        assert (await watch_health.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        received = await refused(watch)
        assert (received.code, received.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        received = await refused(stub.TaskRun(TaskRunRequest(schema=ENDLESS)))
        assert received.reason == "SHUTTING_DOWN"
        assert (await stub.TaskResult(TaskResultRequest(task_id=task_id))).status.status
        process.send_signal(signal.SIGTERM)
        await line(process, "stopped")
    async with server_process(tmp_path, 0) as (_, address), grpc.aio.insecure_channel(address) as channel:
        stub = WorkflowRuntimeServiceStub(channel)
        watch = stub.WatchTask(WatchTaskRequest(task_id=task_id, after_sequence=seen[-1].sequence))
        assert (await stub.TaskCancel(TaskCancelRequest(task_id=task_id))).success
        seen += [event async for response in watch for event in response.events]
        assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
        assert seen[-1].task_status_changed.status.terminated


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    """A second signal does not wait for the tasks that still run."""
    async with (
        server_process(tmp_path, 3600) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        await stub.TaskRun(TaskRunRequest(schema=ENDLESS))
        process.send_signal(signal.SIGTERM)
        await line(process, "draining")
        process.send_signal(signal.SIGTERM)
        await line(process, "stopped")
        assert await process.wait() == 0


STUBBORN = """
import asyncio, sys
from contextlib import suppress
from flowgram_core.engine.node_type import CallBehavior

NEVER = asyncio.Event()  # what only a future holds that nobody holds would be collected, and end

class Node:
    type = "stubborn"

    def bind(self, node):
        return CallBehavior(lambda scope, inputs: inputs)

    async def execute(self, call, context):
        print('{"event": "called"}', file=sys.stderr, flush=True)
        while True:
            with suppress(asyncio.CancelledError):
                await NEVER.wait()
"""

HELD = """
import asyncio, sys
from contextlib import AbstractAsyncContextManager

class Node(AbstractAsyncContextManager):
    type = "held"

    def bind(self, node):
        raise NotImplementedError

    async def __aenter__(self):
        print('{"event": "held up"}', file=sys.stderr, flush=True)
        await asyncio.get_running_loop().create_future()

    async def __aexit__(self, *failure):
        pass
"""


async def test_a_node_type_that_does_not_end_does_not_keep_the_process(tmp_path: Path) -> None:
    """After the second signal the process ends within seconds, if need be by force; its tasks go on after the restart."""
    add_package(tmp_path / "packages", "stubborn_node", STUBBORN)
    nodes = [start(), node("call", "stubborn"), end()]
    edges = [edge("start_0", "call"), edge("call", "end_0")]
    request = TaskRunRequest(schema=json.dumps({"nodes": nodes, "edges": edges}))
    data = tmp_path / "data"
    async with (
        server_process(data, 3600, tmp_path / "packages") as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        task_id = (await stub.TaskRun(request)).task_id
        await line(process, "called")
        process.send_signal(signal.SIGTERM)
        await line(process, "draining")
        process.send_signal(signal.SIGTERM)
        await line(process, "stopped")
        assert (await line(process, "ended by force"))["level"] == "error"
        assert await process.wait() == 1
    async with server_process(data, 0) as (_, address), grpc.aio.insecure_channel(address) as channel:
        stub = WorkflowRuntimeServiceStub(channel)
        result = await stub.TaskResult(TaskResultRequest(task_id=task_id, wait=True))
        assert result.status.terminated


async def test_a_signal_ends_a_server_that_starts(tmp_path: Path) -> None:
    """There is nothing to drain yet: the first signal ends it at once, and leaves the journal to the next one."""
    add_package(tmp_path / "packages", "held_node", HELD)
    async with starting_process(tmp_path / "data", 3600, tmp_path / "packages") as process:
        await line(process, "held up")
        process.send_signal(signal.SIGTERM)
        await line(process, "stopped")
        assert await process.wait() == 0
    async with server_process(tmp_path / "data", 0):
        pass


async def test_a_script_ends_with_the_server(tmp_path: Path) -> None:
    """Also with one that is killed, and had no time to end it: what never ends by itself does not stay behind."""
    async with (
        server_process(tmp_path, 0) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        watch = stub.WatchTask(
            WatchTaskRequest(task_id=(await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id)
        )
        await watch.read()
        # Whichever of the server's processes has the script computes once it has it. Nothing else tells of that.
        workers: list[psutil.Process] = []
        while not any(sum(worker.cpu_times()[:2]) >= 0.5 for worker in workers):
            await asyncio.sleep(0.01)
            workers = psutil.Process(process.pid).children()
        process.kill()
        await process.wait()
    gone, _ = await asyncio.to_thread(psutil.wait_procs, workers, 10)
    assert set(gone) == set(workers)
