"""`flowgram backup` and `flowgram restore`, with a server that runs and one that does not."""

import asyncio
import base64
import stat
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.workflows import ECHO

from flowgram.runtime.v1.runtime_service_pb2 import TaskResultRequest, TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import Server, open_server
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.cli.root import run
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings

CANARY = "canary-0123456789"


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(base64.b64encode(b"k" * 32).decode() + "\n")
    return file


def settings(data: Path, key_file: Path) -> Settings:
    flags = {
        "listen": "127.0.0.1:0",
        "http_listen": "",
        "data": data,
        "code": {"workers": 1},
        "encryption": {"key_files": {"k1": key_file}},
    }
    return load_settings(flags=flags)


async def outputs_of(server: Server, task_id: str = "") -> tuple[str, str]:
    """The outputs of a task, or of a new one, with its id."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        if not task_id:
            inputs = f'{{"text": "{CANARY}"}}'
            answer = await stub.TaskRun(TaskRunRequest(schema=ECHO, inputs=inputs, wait=True))
            return answer.task_id, answer.outputs
        return task_id, (await stub.TaskResult(TaskResultRequest(task_id=task_id))).outputs


def test_a_backup_of_a_running_server_is_restored(tmp_path: Path, key_file: Path) -> None:
    """It holds the tasks, encrypted as the journal is; beside the running server nothing can be restored."""
    data, file, other = tmp_path / "data", tmp_path / "backup", tmp_path / "other"

    async def back_up() -> str:
        async with open_server(settings(data, key_file)) as server:
            task_id, _ = await outputs_of(server)
            done = await asyncio.to_thread(run, ["backup", str(file), "--data", str(data)])
            again = await asyncio.to_thread(run, ["backup", str(file), "--data", str(data)])
            forced = await asyncio.to_thread(run, ["backup", str(file), "--data", str(data), "--force"])
            assert (done, again, forced) == (ExitStatus.SUCCEEDED, ExitStatus.REFUSED, ExitStatus.SUCCEEDED)
            for more in ((), ("--force",)):
                refused = await asyncio.to_thread(run, ["restore", str(file), "--data", str(data), *more])
                assert refused == ExitStatus.REFUSED
            return task_id

    task_id = asyncio.run(back_up())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for path in (file, *data.iterdir()):
        assert CANARY.encode() not in path.read_bytes()

    assert run(["restore", str(file), "--data", str(other)]) == ExitStatus.SUCCEEDED
    assert run(["restore", str(file), "--data", str(other)]) == ExitStatus.REFUSED
    assert run(["restore", str(file), "--data", str(other), "--force"]) == ExitStatus.SUCCEEDED

    async def look() -> str:
        async with open_server(settings(other, key_file)) as server:
            return (await outputs_of(server, task_id))[1]

    assert asyncio.run(look()) == f'{{"text":"{CANARY}"}}'


def test_errors_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No journal, no file, no journal in the file."""
    file = tmp_path / "file"
    assert run(["backup", str(file), "--data", str(tmp_path / "none")]) == ExitStatus.INVALID
    assert run(["restore", str(file), "--data", str(tmp_path / "none")]) == ExitStatus.INVALID
    file.write_bytes(b"no database" * 100)
    assert run(["restore", str(file), "--data", str(tmp_path / "none")]) == ExitStatus.REFUSED
    received = capsys.readouterr().err.splitlines()
    assert len(received) == 3
    assert "there is no journal in" in received[0]
    assert "there is no file" in received[1]
    assert not (tmp_path / "none").exists()
