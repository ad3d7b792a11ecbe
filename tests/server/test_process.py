"""The server as a process of its own, and the signals that end it."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.serving import refused
from support.workflows import ENDLESS

from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

PROGRAM = """
import sys
from pathlib import Path
from flowgram_server.app import run
from flowgram_server.settings import load_settings
flags = {"listen": "127.0.0.1:0", "data": Path(sys.argv[1]), "shutdown_grace": float(sys.argv[2])}
run(load_settings(flags={**flags, "log_format": "json", "code": {"workers": 1}}))
"""


@asynccontextmanager
async def server_process(data: Path, grace: float) -> AsyncIterator[tuple[Process, str]]:
    """A server in a process of its own, and its address; killed if it is still there at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, data, str(grace), stderr=PIPE
    )
    try:
        yield process, (await line(process, "serving"))["address"]
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process, event: str) -> dict[str, Any]:
    """The next log line about an event."""
    assert process.stderr is not None
    async for text in process.stderr:
        fields: dict[str, Any] = json.loads(text)
        if fields["event"] == event:
            return fields
    raise AssertionError(f"the server ended without saying {event!r}")


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
        told = await refused(watch)
        assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        told = await refused(stub.TaskRun(TaskRunRequest(schema=ENDLESS)))
        assert told.reason == "SHUTTING_DOWN"
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
