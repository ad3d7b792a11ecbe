"""Encryption at rest in a real server: nothing readable on disk, and keys that are away for a while."""

import base64
import os
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.raw_http import RawServer, Received, never, response
from support.workflows import ECHO, START, chain, node

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_server.app import open_server
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings

CANARY = "canary-0123456789"
INPUTS = f'{{"text": "{CANARY}"}}'


def settings(tmp_path: Path, *keys: str) -> Settings:
    """Those of a server with these keys; the names of the files begin with those of the keys."""
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "",
            "data": tmp_path / "data",
            "shutdown_grace": 0,
            "code": {"workers": 1},
            "encryption": {"key_files": {key.partition("-")[0]: key_file(tmp_path, key) for key in keys}},
        }
    )


def key_file(tmp_path: Path, name: str) -> Path:
    file = tmp_path / f"key-{name}"
    if not file.exists():
        file.write_text(base64.b64encode(os.urandom(32)).decode())
    return file


def fetching(url: str) -> str:
    http = node(
        "http_0",
        "http",
        api={"method": "POST", "url": {"type": "template", "content": url}},
        body={"bodyType": "raw-text", "rawText": {"type": "template", "content": "{{start_0.text}}"}},
        outputs={"type": "object", "properties": {"body": {"type": "string"}}},
    )
    end = node(
        "end_0",
        "end",
        inputs={"type": "object", "properties": {"out": {"type": "string"}}},
        inputsValues={"out": {"type": "ref", "content": ["http_0", "body"]}},
    )
    return chain(START, http, end)


def content_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_a_task_waits_for_its_key(tmp_path: Path) -> None:
    """Without it the server serves all else, and says what is the matter; with it, the task goes on where it was."""
    arrived: list[Received] = []

    async def respond(received: Received) -> bytes:
        arrived.append(received)
        return response(received.body) if len(arrived) > 1 else await never(received)

    async with RawServer(respond) as api:
        async with (
            open_server(settings(tmp_path, "k1")) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub: Any = WorkflowRuntimeServiceStub(channel)
            request = service.TaskRunRequest(schema=ECHO, inputs=INPUTS, wait=True)
            ended = (await stub.TaskRun(request)).task_id
            request = service.TaskRunRequest(schema=fetching(api.url), inputs=INPUTS)
            waiting = (await stub.TaskRun(request)).task_id
            await api.arrived.wait()
            assert CANARY.encode() not in content_of(tmp_path / "data")

        for keys in ((), ("k2",)):
            async with (
                open_server(settings(tmp_path, *keys)) as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                stub = WorkflowRuntimeServiceStub(channel)
                for task_id in (ended, waiting):
                    with pytest.raises(grpc.aio.AioRpcError) as caught:
                        await stub.TaskReport(service.TaskReportRequest(task_id=task_id))
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                    assert "encrypted with a key that the server does not have" in (
                        caught.value.details() or ""
                    )
                listed = await stub.TaskList(service.TaskListRequest())
                assert {ended, waiting} <= {task.task_id for task in listed.tasks}
                new = await stub.TaskRun(
                    service.TaskRunRequest(schema=chain(START, node("end_0", "end")), wait=True)
                )
                assert new.status.status == Status.STATUS_SUCCEEDED

        with pytest.raises(JournalUnavailable, match="'k1' is not the one of that name"):
            async with open_server(settings(tmp_path, "k1-other")):
                pass

        async with (
            open_server(settings(tmp_path, "k2", "k1")) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub = WorkflowRuntimeServiceStub(channel)
            request = service.TaskResultRequest(task_id=waiting, wait=True)
            assert (await stub.TaskResult(request)).outputs == f'{{"out":"{CANARY}"}}'
            found = await stub.TaskGet(service.TaskGetRequest(task_id=ended))
            assert found.task.inputs == INPUTS
    assert len(arrived) == 2
    assert CANARY.encode() not in content_of(tmp_path / "data")
