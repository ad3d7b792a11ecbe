"""Secrets in the schema and in answers: what a client of the real server gets to see of them, by every way there is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.gateway import gateway_to
from support.raw_http import RawServer, Received, response
from support.workflows import START, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import TaskReportRequest, TaskRunRequest, WatchTaskRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.modeling.json_text import dumps, loads
from flowgram_server.app import Server, open_server
from flowgram_server.settings.loading import load_settings

TOKEN = "Bearer sk-" + "0123456789abcdef"
KEY = "key-" + "fedcba9876543210"
COOKIE = "session=" + "a1b2c3d4e5f6a7b8"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    flags = {"listen": "127.0.0.1:0", "http_listen": "", "data": tmp_path, "code": {"workers": 1}}
    async with open_server(load_settings(flags=flags)) as server:
        yield server


def constants(**values: str) -> dict[str, Any]:
    """The parts of a node's data that bind constants."""
    return {name: {"type": "constant", "content": value} for name, value in values.items()}


def strings(*names: str) -> dict[str, Any]:
    """Declares texts."""
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def asking(url: str) -> str:
    """Sends a token and keys that stand in the schema, and gives on the cookie that comes back."""
    http = node(
        "http_0",
        "http",
        api={"method": "POST", "url": {"type": "template", "content": url}},
        headers=strings("Authorization", "X-Mine"),
        headersValues=constants(Authorization=TOKEN, **{"X-Mine": "seen"}),
        params=strings("apiKey"),
        paramsValues=constants(apiKey=KEY),
        body={
            "bodyType": "x-www-form-urlencoded",
            "xWwwFormUrlencoded": strings("apiKey", "field"),
            "xWwwFormUrlencodedValues": constants(apiKey=KEY, field="seen"),
        },
        outputs={"type": "object", "properties": {"headers": {"type": "object"}}},
    )
    code = node(
        "code_0",
        "code",
        script={
            "language": "javascript",
            "content": "function main({params}) { return {given: params.cookie.length}; }",
        },
        inputs=strings("cookie"),
        inputsValues={"cookie": {"type": "ref", "content": ["http_0", "headers", "set-cookie"]}},
        outputs={"type": "object", "properties": {"given": {"type": "integer"}}},
    )
    end = node(
        "end_0",
        "end",
        inputs={"type": "object", "properties": {"given": {"type": "integer"}}},
        inputsValues={"given": {"type": "ref", "content": ["code_0", "given"]}},
    )
    return chain(START, http, code, end)


async def test_secrets_of_an_http_node_are_shown_nowhere(server: Server) -> None:
    """The request has them; the report, over gRPC and over REST, and the watch have them masked, in data, inputs and outputs."""
    async with (
        RawServer(response(b"ok", set_cookie=COOKIE)) as api,
        grpc.aio.insecure_channel(server.address) as channel,
        gateway_to(server.address) as gateway,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        answer = await stub.TaskRun(TaskRunRequest(schema=asking(api.url), wait=True))
        assert answer.status.status == Status.STATUS_SUCCEEDED, answer
        assert loads(answer.outputs) == {"given": len(COOKIE)}  # later nodes get the real thing
        (received,) = api.received
        assert received.headers["authorization"] == TOKEN
        assert (received.target, received.body) == (f"/?apiKey={KEY}", f"apiKey={KEY}&field=seen".encode())

        report = (await stub.TaskReport(TaskReportRequest(task_id=answer.task_id))).report
        watched = [r async for r in stub.WatchTask(WatchTaskRequest(task_id=answer.task_id))]
        rest = (await gateway.http.get("/api/task/report", params={"taskID": answer.task_id})).text
        async with gateway.watch(answer.task_id) as stream:
            streamed = [event.data for event in await stream.rest()]

    (snapshot,) = next(found for found in report.nodes if found.node_id == "http_0").snapshots
    data, inputs, outputs = loads(snapshot.data), loads(snapshot.inputs), loads(snapshot.outputs)
    assert data["headersValues"] == constants(Authorization="Bea…cdef", **{"X-Mine": "seen"})
    assert data["headers"] == strings("Authorization", "X-Mine")
    assert data["paramsValues"] == constants(apiKey="key…3210")
    assert data["body"]["xWwwFormUrlencodedValues"] == constants(apiKey="key…3210", field="seen")
    assert inputs["headers"] == {"Authorization": "Bea…cdef", "X-Mine": "seen"}
    assert inputs["params"] == {"apiKey": "key…3210"}
    assert inputs["body"] == '{"apiKey":"key…3210","field":"seen"}'
    assert outputs["headers"]["set-cookie"] == "ses…a7b8"
    for shown in (str(report), str(watched), rest, "".join(streamed)):
        assert "http_0" in shown
        assert TOKEN not in shown
        assert KEY not in shown


async def test_what_a_server_sends_back_of_a_secret_is_shown_nowhere(server: Server) -> None:
    """Neither in the outputs of the node, nor in the inputs and outputs of those behind it, nor in its messages."""

    async def echo(received: Received) -> bytes:
        return response(
            f"{received.target} {received.headers}".encode(), X_Echo=received.headers["x-vault-token"]
        )

    query_key = "query-" + "0123456789abcdef"
    async with RawServer(echo) as api, grpc.aio.insecure_channel(server.address) as channel:
        http = node(
            "http_0",
            "http",
            api={"method": "GET", "url": {"type": "template", "content": f"{api.url}/?sig={query_key}"}},
            headers=strings("Authorization", "X-Vault-Token"),
            headersValues=constants(Authorization=TOKEN, **{"X-Vault-Token": KEY}),
            body={"bodyType": "none"},
            outputs=strings("body"),
        )
        end = node(
            "end_0",
            "end",
            inputs=strings("body"),
            inputsValues={"body": {"type": "ref", "content": ["http_0", "body"]}},
        )
        stub: Any = WorkflowRuntimeServiceStub(channel)
        answer = await stub.TaskRun(TaskRunRequest(schema=chain(START, http, end), wait=True))
        assert answer.status.status == Status.STATUS_SUCCEEDED, answer
        (received,) = api.received
        assert query_key in received.target
        report = (await stub.TaskReport(TaskReportRequest(task_id=answer.task_id))).report
        watched = [r async for r in stub.WatchTask(WatchTaskRequest(task_id=answer.task_id))]
    for shown in (str(answer), str(report), str(watched)):
        for secret in (TOKEN, TOKEN.removeprefix("Bearer "), KEY, query_key):
            assert secret not in shown
    assert "sig=que" in loads(answer.outputs)["body"]


async def test_inputs_with_secret_names_are_masked_where_they_come_in(server: Server) -> None:
    """In the inputs of the report, and in what the start node gives; the task gets the real one."""
    start = node("start_0", "start", outputs=strings("apiKey", "name"))
    end = node(
        "end_0",
        "end",
        inputs=strings("got"),
        inputsValues={"got": {"type": "ref", "content": ["start_0", "name"]}},
    )
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        inputs = dumps({"apiKey": KEY, "name": "n"})
        answer = await stub.TaskRun(TaskRunRequest(schema=chain(start, end), inputs=inputs, wait=True))
        report = (await stub.TaskReport(TaskReportRequest(task_id=answer.task_id))).report
        watched = [r async for r in stub.WatchTask(WatchTaskRequest(task_id=answer.task_id))]
    assert loads(report.inputs) == {"apiKey": "key…3210", "name": "n"}
    assert KEY not in f"{report} {watched}"
    assert loads(answer.outputs) == {"got": "n"}
