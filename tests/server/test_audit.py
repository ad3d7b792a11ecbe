"""The audit log of a server with its gateway: what is in it of each decision."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.both_ports import serving, settings_for
from support.keys import add_key
from support.serving import refused
from support.workflows import ECHO

from flowgram.runtime.v1.runtime_service_pb2 import TaskCancelRequest, TaskRunRequest, WatchTaskRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

SECRET = "canary-5d1c9a"


async def test_decisions(tmp_path: Path) -> None:
    """Who, where, what, whether and why not, at both ports; refusals of the gateway's own, too; no contents."""
    keys, audit = tmp_path / "keys.json", tmp_path / "audit.jsonl"
    runner, reader = add_key(keys, "team-a"), add_key(keys, "team-b", "reader")
    settings = settings_for(tmp_path, auth={"api_keys_file": keys}, audit_log=audit)
    async with (
        serving(settings) as ports,
        grpc.aio.insecure_channel(ports.server.address) as channel,
        httpx2.AsyncClient(base_url=f"http://{ports.http}", trust_env=False) as http,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        request = TaskRunRequest(schema=ECHO, inputs=json.dumps({"text": SECRET}), wait=True)
        task_id = (await stub.TaskRun(request, metadata=runner)).task_id
        async for _ in stub.WatchTask(WatchTaskRequest(task_id=task_id), metadata=runner):
            pass
        await refused(stub.TaskCancel(TaskCancelRequest(task_id=task_id), metadata=reader))
        await refused(stub.TaskCancel(TaskCancelRequest(task_id=task_id)))
        wrong = f"Bearer fgk_{SECRET}"
        await refused(
            stub.TaskCancel(TaskCancelRequest(task_id=task_id), metadata=(("authorization", wrong),))
        )
        health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # generated without types
        await health.Check(health_pb2.HealthCheckRequest())
        await http.get("/api/tasks", headers={"Authorization": wrong})
        await http.get("/api/tasks", headers=dict(reader))
        await http.get("/api/tasks", headers={"Host": "evil.example.com"})
        await http.post("/api/task/run", json={}, headers={"Origin": "https://evil.example.com"})

    text = audit.read_text()
    assert SECRET not in text
    lines = [json.loads(line) for line in text.splitlines()]
    run, opened, watched, denied, missing, invalid, rest_invalid, listed, host, origin = lines
    assert (run["principal"], run["namespace"], run["task_id"]) == (opened["principal"], "team-a", task_id)
    assert run["principal"].startswith("key:")
    assert run["peer"].startswith("127.0.0.1:")
    assert [(line["method"], line["allowed"], line.get("reason"), line["status"]) for line in lines] == [
        ("TaskRun", True, None, "OK"),
        ("WatchTask", True, None, "OPEN"),
        ("WatchTask", True, None, "OK"),
        ("TaskCancel", False, "PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("TaskCancel", False, "CREDENTIALS_MISSING", "UNAUTHENTICATED"),
        ("TaskCancel", False, "CREDENTIALS_INVALID", "UNAUTHENTICATED"),
        ("TaskList", False, "CREDENTIALS_INVALID", "UNAUTHENTICATED"),
        ("TaskList", True, None, "OK"),
        ("GET /api/tasks", False, "HOST_NOT_ALLOWED", "FORBIDDEN"),
        ("POST /api/task/run", False, "ORIGIN_NOT_ALLOWED", "FORBIDDEN"),
    ]
    assert (denied["namespace"], missing["principal"], invalid["principal"]) == ("team-b", None, None)
    assert watched["task_id"] == task_id
    for line in (rest_invalid, listed, host, origin):
        assert line["peer"].startswith("127.0.0.1:")
    assert listed["namespace"] == "team-b"


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("", "127.0.0.1"), ("10.0.0.0/8", "127.0.0.1"), ("127.0.0.0/8,::1", "192.0.2.7")],
)
async def test_only_trusted_proxies_say_where_a_request_comes_from(
    tmp_path: Path, trusted: str, expected: str
) -> None:
    """By default nobody does: a caller could write any address into the log, and be slowed down for none."""
    keys, audit = tmp_path / "keys.json", tmp_path / "audit.jsonl"
    add_key(keys)
    settings = settings_for(tmp_path, auth={"api_keys_file": keys}, audit_log=audit, trusted_proxies=trusted)
    async with (
        serving(settings) as ports,
        httpx2.AsyncClient(base_url=f"http://{ports.http}", trust_env=False) as http,
    ):
        headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
        await http.get("/api/tasks", headers={**headers, "Authorization": "Bearer fgk_x"})
        await http.get("/api/tasks", headers={**headers, "Host": "evil.example.com"})
    found = [json.loads(line)["peer"].rpartition(":")[0] for line in audit.read_text().splitlines()]
    assert found == [expected] * 2


async def test_without_authentication(tmp_path: Path) -> None:
    """Decisions are written there as well: everybody may, and nobody has a name."""
    audit = tmp_path / "audit.jsonl"
    async with (
        serving(settings_for(tmp_path, audit_log=audit)) as ports,
        grpc.aio.insecure_channel(ports.server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        await asyncio.gather(
            *(stub.TaskRun(TaskRunRequest(schema=ECHO)) for _ in range(3)), return_exceptions=True
        )
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.TaskRun(TaskRunRequest(schema="{"))
    lines = [json.loads(line) for line in audit.read_text().splitlines()]
    assert len(lines) == 4
    assert {(line["method"], line["allowed"], line["principal"]) for line in lines} == {
        ("TaskRun", True, None)
    }
    assert lines[-1]["reason"] == "SCHEMA_INVALID"
