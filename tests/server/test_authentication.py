"""Authentication of a server as it is started: keys in files, and what their changes do."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from structlog.testing import capture_logs
from support.serving import refused
from support.workflows import ECHO

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest, TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.auth.api_keys import RoleName, change_keys, new_key
from flowgram_server.auth.errors import CredentialFileUnusable
from flowgram_server.settings.server import Settings, load_settings

Metadata = tuple[tuple[str, str], ...]


def add_key(path: Path, namespace: str = "default", role: RoleName = "runner") -> Metadata:
    """Adds a key to a file; the metadata of its bearer."""
    text, key = new_key(namespace=namespace, role=role, lifetime=None, note="", now=datetime.now(UTC))
    change_keys(path, lambda keys: [*keys, key])
    return (("authorization", f"Bearer {text}"),)


def settings_for(data: Path, **flags: Any) -> Settings:
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "",
            "data": data,
            "storage": "memory",
            "code": {"workers": 1},
            "access_log": False,
            "auth": {"api_keys_file": data / "keys.json"},
            **flags,
        }
    )


async def test_keys_come_and_go(tmp_path: Path) -> None:
    """A key that is added is taken, and one that is revoked is refused, while the server runs; a damaged file changes nothing."""
    path = tmp_path / "keys.json"
    first = add_key(path)
    async with (
        open_server(settings_for(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        request = TaskRunRequest(schema=ECHO, inputs='{"text": "a"}', wait=True)
        assert (await stub.TaskRun(request, metadata=first)).task_id
        assert list((await stub.ServerInfo(ServerInfoRequest())).features) == ["auth"]
        health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # generated without types
        await health.Check(health_pb2.HealthCheckRequest())

        second = add_key(path)
        await eventually_allowed(stub, second)
        path.write_text("{")
        with capture_logs() as logs:
            while not (errors := [line for line in logs if line["log_level"] == "error"]):
                await stub.TaskRun(request, metadata=second)
        assert "is no file of keys" in errors[0]["reason"]

        path.unlink()
        third = add_key(path)
        await eventually_allowed(stub, third)
        refusal = await refused(stub.TaskRun(request, metadata=first))
        assert (refusal.code, refusal.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID")


async def eventually_allowed(stub: Any, metadata: Metadata) -> None:
    call = stub.ServerInfo(ServerInfoRequest(), metadata=metadata)
    while (code := await call.code()) != StatusCode.OK:
        assert code == StatusCode.UNAUTHENTICATED
        call = stub.ServerInfo(ServerInfoRequest(), metadata=metadata)


async def test_a_server_without_its_keys(tmp_path: Path) -> None:
    """It does not start: otherwise nobody could call it, or everybody."""
    with pytest.raises(CredentialFileUnusable, match=r"keys\.json: No such file"):
        async with open_server(settings_for(tmp_path)):
            pass
