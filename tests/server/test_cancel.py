"""Cancel stops what a task does outside: connections close, processes die, waiting ends. On the real server."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from support.raw_http import RawServer, never, response
from support.workflows import END, ENDLESS, START, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.settings.loading import load_settings

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@pytest.fixture
async def stub(tmp_path: Path) -> AsyncIterator[Any]:
    flags = {"listen": "127.0.0.1:0", "data": tmp_path, "code": {"workers": 1}}
    async with (
        open_server(load_settings(flags=flags)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield WorkflowRuntimeServiceStub(channel)


def asking(url: str, *, retries: int = 0, timeout: int = 600_000) -> str:
    """A workflow of one http node."""
    http = node(
        "http_0",
        "http",
        api={"method": "GET", "url": {"type": "template", "content": url}},
        body={"bodyType": "none"},
        timeout={"timeout": timeout, "retryTimes": retries},
    )
    return chain(START, http, END)


def talking(url: str) -> str:
    """A workflow of one llm node."""
    values = {"modelName": "m", "apiKey": "sk-1", "apiHost": url, "temperature": 0, "prompt": "Hello"}
    llm = node(
        "llm_0",
        "llm",
        inputs={
            "type": "object",
            "properties": {
                name: {"type": "number" if name == "temperature" else "string"} for name in values
            },
        },
        inputsValues={name: {"type": "constant", "content": value} for name, value in values.items()},
    )
    return chain(START, llm, END)


async def start(stub: Any, schema: str) -> str:
    return str((await stub.TaskRun(TaskRunRequest(schema=schema))).task_id)


async def cancel(stub: Any, task_id: str) -> None:
    """Cancels, with success, and the task is CANCELED when that is answered."""
    assert (await stub.TaskCancel(TaskCancelRequest(task_id=task_id, reason="enough"))).success
    result = await stub.TaskResult(TaskResultRequest(task_id=task_id))
    assert result.status.status == Status.STATUS_CANCELED


async def closed(server: RawServer) -> None:
    """Returns once the other side has closed its connection, which it must soon."""
    async with asyncio.timeout(10):
        await server.closed.wait()


async def test_the_connection_of_an_http_node_closes(stub: Any) -> None:
    """The server on the other side sees it."""
    async with RawServer(never) as server:
        task_id = await start(stub, asking(server.url))
        await server.arrived.wait()
        assert not server.closed.is_set()
        await cancel(stub, task_id)
        await closed(server)


@pytest.mark.parametrize("head", [b"", STREAM], ids=["before its answer", "within its answer"])
async def test_the_connection_of_an_llm_node_closes(stub: Any, head: bytes) -> None:
    """The API sees it, whether or not it had begun to answer; the call is not made again."""
    async with RawServer(never, head=head) as server:
        task_id = await start(stub, talking(server.url))
        await server.arrived.wait()
        await cancel(stub, task_id)
        await closed(server)
        assert len(server.received) == 1


async def test_the_process_of_a_code_node_dies(stub: Any) -> None:
    """Its worker is gone when the cancel is answered."""
    task_id = await start(stub, ENDLESS)
    watch = stub.WatchTask(WatchTaskRequest(task_id=task_id))
    await watch.read()
    while not (workers := psutil.Process().children()):  # noqa: ASYNC110 - nothing tells of a process that begins
        await asyncio.sleep(0)
    await cancel(stub, task_id)
    assert not any(worker.is_running() for worker in workers)


async def test_a_wait_before_the_next_attempt_ends(stub: Any) -> None:
    """A node that waits to try again after a time-out is stopped in its wait."""
    async with RawServer(never) as server:
        task_id = await start(stub, asking(server.url, retries=20, timeout=50))
        await server.closed.wait()
        attempts = len(server.received)
        await cancel(stub, task_id)
        assert len(server.received) == attempts


async def test_a_wait_for_an_api_that_is_busy_ends(stub: Any) -> None:
    """An llm node that was asked to come back later is stopped in its wait, and does not come back."""
    busy = response(b"{}", "429 Too Many Requests", Retry_After="30", Content_Type="application/json")
    async with RawServer(busy) as server:
        task_id = await start(stub, talking(server.url))
        await server.arrived.wait()
        for _ in range(100):  # it has read the answer meanwhile
            status = (await stub.TaskResult(TaskResultRequest(task_id=task_id))).status.status
            assert status == Status.STATUS_PROCESSING
        async with asyncio.timeout(10):  # and not after the 30 s
            await cancel(stub, task_id)
        assert len(server.received) == 1


async def test_a_time_out_stops_the_same_things(stub: Any) -> None:
    """A task whose time is over leaves no connection behind."""
    async with RawServer(never) as server:
        request = TaskRunRequest(schema=asking(server.url), wait=True)
        request.timeout.FromMilliseconds(50)
        answer = await stub.TaskRun(request)
        assert answer.status.status == Status.STATUS_FAILED
        assert "timed out" in answer.errors[0].text
        if server.arrived.is_set():
            await closed(server)


async def test_a_failing_node_stops_the_others(stub: Any) -> None:
    """What runs beside it is interrupted, and shown as canceled."""
    async with RawServer(never) as server:
        schema = json.loads(asking(server.url))
        broken = node("code_0", "code", script={"language": "javascript", "content": "throw 1"})
        schema["nodes"].append(broken)
        schema["edges"] += [
            {"sourceNodeID": "start_0", "targetNodeID": "code_0"},
            {"sourceNodeID": "code_0", "targetNodeID": "end_0"},
        ]
        answer = await stub.TaskRun(TaskRunRequest(schema=json.dumps(schema), wait=True))
        assert answer.status.status == Status.STATUS_FAILED
        if server.arrived.is_set():
            await closed(server)
