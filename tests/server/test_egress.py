"""Egress of a real server: workflows cannot reach the server itself by its own ports."""

from pathlib import Path
from typing import Any

import grpc
from support.raw_http import RawServer, response
from support.workflows import START, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_server.app import Server, open_server
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings


def fetching(url: str) -> str:
    http = node(
        "http_0",
        "http",
        api={"method": "GET", "url": {"type": "template", "content": url}},
        headers={"type": "object", "properties": {}},
        headersValues={},
        params={"type": "object", "properties": {}},
        paramsValues={},
        body={"bodyType": "none"},
        outputs={"type": "object", "properties": {"statusCode": {"type": "integer"}}},
    )
    end = node(
        "end_0",
        "end",
        inputs={"type": "object", "properties": {"code": {"type": "integer"}}},
        inputsValues={"code": {"type": "ref", "content": ["http_0", "statusCode"]}},
    )
    return chain(START, http, end)


def settings(tmp_path: Path, **more: Any) -> Settings:
    flags = {"listen": "127.0.0.1:0", "http_listen": "", "data": tmp_path, "code": {"workers": 1}, **more}
    return load_settings(flags=flags)


async def run(server: Server, url: str) -> str:
    """The outputs, or the message of the failure."""
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        answer = await stub.TaskRun(TaskRunRequest(schema=fetching(url), wait=True))
    if answer.status.status == Status.STATUS_SUCCEEDED:
        return str(answer.outputs)
    return str(answer)


async def test_the_ports_of_the_server_are_denied(tmp_path: Path) -> None:
    """The one that it took by itself, and others of its process; whatever a rule without a port allows."""
    async with RawServer() as gateway:
        allowing = settings(tmp_path, egress={"allow": ["*", "127.0.0.1"]})
        async with open_server(allowing, own_ports=OwnPorts([gateway.port])) as server:
            for address in (server.address, f"127.0.0.1:{gateway.port}", f"localhost:{gateway.port}"):
                assert r"egress rule \"own ports\"" in await run(server, f"http://{address}/")
        assert gateway.received == []


async def test_the_rules_of_the_settings_hold(tmp_path: Path) -> None:
    """And the failure of the node names the rule."""
    async with RawServer(response(b"ok")) as there:
        denying = settings(tmp_path, egress={"deny": ["private"], "allow": ["*", f"127.0.0.1:{there.port}"]})
        async with open_server(denying) as server:
            assert '"code":200' in await run(server, there.url)
            assert r"egress rule \"private\"" in await run(server, "http://127.0.0.1:1/")
