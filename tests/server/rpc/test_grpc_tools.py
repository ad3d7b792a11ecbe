"""The tools of operators against a real server: grpcurl and ghz by reflection, grpc_health_probe, with TLS and a key."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.authority import Authority
from support.both_ports import settings_for
from support.keys import add_key
from support.toolchains import deploy_tool
from support.workflows import ECHO

from flowgram_server.app import open_server

SERVICE = "flowgram.runtime.v1.WorkflowRuntimeService"


class Tools:
    """Runs tools against a server.

    Args:
        address: Where it listens.
        authority: The file of the authority of its certificate.
        authorization: Of a runner.
    """

    def __init__(self, address: str, authority: Path, authorization: str) -> None:
        self._address = address
        self._authority = str(authority)
        self._authorization = authorization

    async def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False, timeout=60
        )

    async def grpcurl(self, *words: str, data: Any = None, key: bool = True) -> tuple[int, str]:
        """Exit status and output; the words are what stands behind the address."""
        flags = ["-cacert", self._authority]
        if data is not None:
            flags += ["-d", json.dumps(data)]
        if key:
            flags += ["-H", f"authorization: {self._authorization}"]
        done = await self._run(deploy_tool("grpcurl"), *flags, self._address, *words)
        return done.returncode, done.stdout + done.stderr

    async def probe(self, service: str) -> int:
        """The exit status of the health probe."""
        flags = ("-tls", "-tls-ca-cert", self._authority, "-service", service)
        return (await self._run(deploy_tool("grpc-health-probe"), "-addr", self._address, *flags)).returncode

    async def ghz(self, method: str, data: Any, count: int) -> Any:
        """Its report."""
        metadata = json.dumps({"authorization": self._authorization})
        done = await self._run(
            *(deploy_tool("ghz"), "--cacert", self._authority, "--call", f"{SERVICE}.{method}"),
            *(
                "-d",
                json.dumps(data),
                "-m",
                metadata,
                "-n",
                str(count),
                "-c",
                "2",
                "-O",
                "json",
                self._address,
            ),
        )
        return json.loads(done.stdout)


@pytest.fixture
async def tools(tmp_path: Path) -> AsyncIterator[Tools]:
    deploy_tool("grpcurl")  # before a server is started for nothing
    authority = Authority()
    certificate, key = authority.server().write(tmp_path, "server")
    bearer = add_key(tmp_path / "keys.json")[0][1]
    settings = settings_for(
        tmp_path / "data",
        http_listen="",
        tls={"cert_file": certificate, "key_file": key},
        auth={"api_keys_file": tmp_path / "keys.json"},
    )
    async with open_server(settings) as server:
        yield Tools(server.address, authority.write(tmp_path), bearer)


async def test_grpcurl_knows_the_contract(tools: Tools) -> None:
    """By reflection alone: services, methods with their messages, reasons of errors."""
    code, said = await tools.grpcurl("list")
    assert code == 0
    services = {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"}
    assert services <= {*said.split()}
    code, said = await tools.grpcurl("describe", f"{SERVICE}.TaskRun", key=False)
    assert code == 0
    assert "rpc TaskRun ( .flowgram.runtime.v1.TaskRunRequest )" in said
    for symbol in ("flowgram.runtime.v1.TaskRunRequest", "flowgram.runtime.v1.ErrorReason", SERVICE):
        code, said = await tools.grpcurl("describe", symbol)
        assert code == 0, said


async def test_grpcurl_calls(tools: Tools) -> None:
    """A task runs, streams are followed, and a refusal is shown with its reason and details."""
    request = {"schema": ECHO, "inputs": '{"text": "hi"}', "wait": True}
    code, said = await tools.grpcurl(f"{SERVICE}/TaskRun", data=request)
    assert code == 0, said
    assert json.loads(json.loads(said)["outputs"]) == {"text": "hi"}
    task_id = json.loads(said)["taskId"] if "taskId" in said else json.loads(said)["task_id"]
    code, said = await tools.grpcurl(f"{SERVICE}/WatchTask", data={"task_id": task_id})
    assert code == 0
    assert "STATUS_SUCCEEDED" in said
    code, said = await tools.grpcurl(f"{SERVICE}/TaskRun", data={"schema": "{}"})
    assert code != 0
    assert "SCHEMA_INVALID" in said
    assert "field_violations" in said or "fieldViolations" in said
    code, said = await tools.grpcurl(f"{SERVICE}/TaskList", data={}, key=False)
    assert code != 0
    assert "CREDENTIALS_MISSING" in said


async def test_ghz_calls(tools: Tools) -> None:
    """By reflection, too; every call is answered."""
    report = await tools.ghz("TaskList", {}, 20)
    assert report["count"] == 20
    assert report["statusCodeDistribution"] == {"OK": 20}


async def test_the_health_probe(tools: Tools) -> None:
    """Without credentials, of the server as a whole and of each service; one that does not exist is not well."""
    assert await tools.probe("") == 0
    assert await tools.probe(SERVICE) == 0
    assert await tools.probe("no.such.Service") != 0
