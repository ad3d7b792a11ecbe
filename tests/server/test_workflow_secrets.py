"""Secrets of workflows in a real server: requests have them, and nothing that anybody can see, or that is stored, does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.gateway import gateway_to
from support.raw_http import RawServer, Received, never, response
from support.temporal_server import TemporalServer, require_temporal
from support.workflows import START, chain, node

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskGetRequest,
    TaskReportRequest,
    TaskRunRequest,
    TaskValidateRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.modeling.json_text import dumps, loads
from flowgram_server.app import open_server
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.metrics import Metrics
from flowgram_server.telemetry.telemetry import Telemetry
from flowgram_server.telemetry.tracing import Tracing

CANARY = "canary-" + '0123456789"abcdef'
"""A secret; the quotation mark has several forms."""
OTHER = "second-" + "fedcba9876543210"


def strings(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}


def template(text: str) -> dict[str, Any]:
    return {"type": "template", "content": text}


def reference(name: str) -> dict[str, Any]:
    return {"type": "ref", "content": ["secrets", name]}


def request_node(url: str, header: dict[str, Any], **more: Any) -> dict[str, Any]:
    return node(
        "http_0",
        "http",
        api={"method": "POST", "url": template(url)},
        headers=strings("X-Vault"),
        headersValues={"X-Vault": header},
        params=strings("p"),
        paramsValues={"p": reference("CANARY")},
        body={"bodyType": "JSON", "json": template('{"key": "{{secrets.CANARY}}", "text": {{json start_0.text}}}')},
        outputs=strings("body"),
        **more,
    )  # fmt: skip


def model_node(api_host: str, **inputs: dict[str, Any]) -> dict[str, Any]:
    constants = {"modelName": "m", "apiHost": api_host, "temperature": 0, "prompt": "hello"}
    values = {name: {"type": "constant", "content": value} for name, value in constants.items()}
    declared = strings("modelName", "apiHost", "prompt", "apiKey")
    declared["properties"]["temperature"] = {"type": "number"}
    return node("llm_0", "llm", inputs=declared, inputsValues={**values, **inputs}, outputs=strings("result"))


def end(*reference: str) -> dict[str, Any]:
    return node(
        "end_0",
        "end",
        inputs=strings("out"),
        inputsValues={"out": {"type": "ref", "content": [*reference]}},
    )


def settings(tmp_path: Path, hosts: Sequence[str] = ("127.0.0.1",), **more: Any) -> Settings:
    file = tmp_path / "canary"
    file.write_text(CANARY)
    flags = {
        "listen": "127.0.0.1:0",
        "http_listen": "",
        "data": tmp_path / "data",
        "code": {"workers": 1},
        "secrets": {"CANARY": {"file": file, "hosts": hosts}},
        **more,
    }
    return load_settings(flags=flags)


async def echo(received: Received) -> bytes:
    """Sends everything back that it got."""
    text = f"{received.target} {received.headers} {received.body.decode()}"
    return response(text.encode(), X_Echo=received.headers.get("x-vault", ""))


async def stream_echo(received: Received) -> bytes:
    """A model that repeats its key, in small pieces."""
    pieces = [f"your key: {received.headers['authorization']}"[i : i + 3] for i in range(0, 40, 3)]
    chunks = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    body = "".join(f"data: {dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return response(body.encode(), content_type="text/event-stream")


def forms(secret: str) -> set[str]:
    """A secret, as JSON and Python quote it, once or twice; and the part of it that no other text has."""
    return {secret, dumps(secret)[1:-1], dumps(dumps(secret))[3:-3], secret[:14], secret[-10:]}


def assert_unseen(*shown: object) -> None:
    for text in map(str, shown):
        for secret in (CANARY, OTHER):
            assert not [form for form in forms(secret) if form in text], text


async def everything_of(stub: Any, task_id: str) -> list[object]:
    """All that a client can see of a task."""
    report = await stub.TaskReport(TaskReportRequest(task_id=task_id))
    task = await stub.TaskGet(TaskGetRequest(task_id=task_id))
    watched = [r async for r in stub.WatchTask(WatchTaskRequest(task_id=task_id))]
    assert "{{secrets.CANARY}}" in str(task)
    return [report, task, watched]


def files_of(tmp_path: Path) -> str:
    """All bytes of the data directory."""
    found = [path for path in (tmp_path / "data").iterdir() if path.is_file()]
    assert any(path.name == "journal.sqlite3-wal" for path in found)
    return " ".join(path.read_bytes().decode("latin-1") for path in found)


async def test_a_canary_is_seen_nowhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is sent, and echoed; but it is in no report, watch, task, answer of REST, log, metric or file."""
    counting = Metrics()
    telemetry = Telemetry(counting)
    with telemetry.measuring():
        await look_for_the_canary(tmp_path, telemetry)
        metrics, _ = counting.exposition("")
        assert b'type="http"' in metrics
        printed = capfd.readouterr()
        assert "TaskRun" in printed.out + printed.err
        assert_unseen(metrics.decode(), *printed, caplog.text, [vars(record) for record in caplog.records])


async def test_a_canary_is_in_no_trace(tmp_path: Path) -> None:
    """Neither in the spans of calls, tasks and nodes, nor in those of the requests that it was sent with."""
    pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - it is an extra
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

    provider, spans = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    await look_for_the_canary(tmp_path, Telemetry(tracing=Tracing(provider)))
    finished = [span.to_json() for span in spans.get_finished_spans()]
    assert any("chat m" in span for span in finished)
    assert_unseen(*finished)


async def look_for_the_canary(tmp_path: Path, telemetry: Telemetry) -> None:
    async with (
        RawServer(echo) as api,
        RawServer(stream_echo) as model,
        open_server(settings(tmp_path), telemetry=telemetry) as server,
        grpc.aio.insecure_channel(server.address) as channel,
        gateway_to(server.address) as gateway,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        http = request_node(api.url, template("key {{secrets.CANARY}} {{start_0.text}}"))
        workflows = (
            chain(START, http, end("http_0", "body")),
            chain(START, model_node(model.url, apiKey=template(" {{secrets.CANARY}}")), end("llm_0", "result")),
            chain(START, model_node(model.url), http, end("llm_0", "result")),
        )  # fmt: skip
        for schema in workflows:
            answer = await stub.TaskRun(TaskRunRequest(schema=schema, inputs='{"text": "hi"}', wait=True))
            assert answer.status.status == Status.STATUS_SUCCEEDED, answer
            assert "{{secrets.CANARY}}" in loads(answer.outputs)["out"]
            shown = await everything_of(stub, answer.task_id)
            rest = (await gateway.http.get("/api/task/report", params={"taskID": answer.task_id})).text
            assert_unseen(answer, rest, *shown)
        assert api.received[0].headers["x-vault"] == f"key {CANARY} hi"
        assert loads(api.received[0].body.decode()) == {"key": CANARY, "text": "hi"}
        assert [received.headers["authorization"] for received in model.received] == [f"Bearer {CANARY}"] * 2
        assert_unseen(files_of(tmp_path))


async def test_a_secret_is_not_sent_to_a_host_that_it_is_not_for(tmp_path: Path) -> None:
    """The node says why; without the value, and the redirect is not followed."""
    async with RawServer(echo) as other:
        away = response(status="308 Permanent", Location=f"http://localhost:{other.port}/")
        async with (
            RawServer(away) as api,
            open_server(settings(tmp_path, [f"127.0.0.1:{api.port}"])) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub: Any = WorkflowRuntimeServiceStub(channel)
            for url, place in (
                (other.url, f"127.0.0.1:{other.port}"),
                (api.url, f"localhost:{other.port}"),
            ):
                schema = chain(START, request_node(url, reference("CANARY")), end("http_0", "body"))
                answer = await stub.TaskRun(TaskRunRequest(schema=schema, wait=True))
                assert answer.status.status == Status.STATUS_FAILED
                why = rf"The secret \"CANARY\" is not sent to \"{place}\", which it is not for"
                assert why in str(answer)
                assert_unseen(answer, *await everything_of(stub, answer.task_id))
            assert len(api.received) == 1
            assert other.received == []


async def test_a_secret_that_is_gone_fails_its_node_only(tmp_path: Path) -> None:
    """And one that there never was; the server starts and goes on, and takes a new value when there is one."""
    wanted = settings(tmp_path)
    file = tmp_path / "canary"
    file.unlink()
    async with (
        RawServer(echo) as api,
        open_server(wanted) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        known = chain(START, request_node(api.url, reference("CANARY")), end("http_0", "body"))
        unknown = chain(START, request_node(api.url, reference("NO_SUCH")), end("http_0", "body"))
        answer = await stub.TaskRun(TaskRunRequest(schema=known, wait=True))
        assert r"The secret \"CANARY\" cannot be read at the moment" in str(answer)
        assert str(tmp_path) not in str(answer)
        file.write_text(OTHER)
        assert_unseen(await stub.TaskRun(TaskRunRequest(schema=known, wait=True)))
        assert api.received[-1].headers["x-vault"] == OTHER
        file.write_text(CANARY)
        answer = await stub.TaskRun(TaskRunRequest(schema=unknown, wait=True))
        assert r"There is no secret \"NO_SUCH\" for this workflow" in str(answer)
        answer = await stub.TaskRun(TaskRunRequest(schema=known, wait=True))
        assert answer.status.status == Status.STATUS_SUCCEEDED
        assert api.received[-1].headers["x-vault"] == CANARY


async def test_inputs_cannot_name_secrets(tmp_path: Path) -> None:
    """A placeholder in the inputs of a task is a text; beside a secret, it fails the node."""
    async with (
        RawServer(echo) as api,
        open_server(settings(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        schema = chain(START, request_node(api.url, template("{{start_0.text}}")), end("http_0", "body"))
        for inputs in ({"text": "{{secrets.CANARY}}"}, {"text": "{{secrets.OTHER}}"}):
            answer = await stub.TaskRun(TaskRunRequest(schema=schema, inputs=dumps(inputs), wait=True))
            if answer.status.status == Status.STATUS_SUCCEEDED:
                assert api.received[-1].headers["x-vault"] == "{{secrets.OTHER}}"
            else:
                assert "must not contain" in str(answer)
        assert len(api.received) == 1


async def test_a_secret_elsewhere_is_refused(tmp_path: Path) -> None:
    """By TaskRun and TaskValidate, which name the field."""
    async with (
        open_server(settings(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        schema = chain(START, end("secrets", "CANARY"))
        validation = await stub.TaskValidate(TaskValidateRequest(schema=schema))
        assert "schema.nodes[1].data.inputsValues.out" in str(validation)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.TaskRun(TaskRunRequest(schema=schema))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert 'The secret "CANARY" cannot be used here' in (caught.value.details() or "")


async def test_a_node_called_secrets_is_a_node(tmp_path: Path) -> None:
    """A workflow with one means what it has always meant."""
    start = {**START, "id": "secrets"}
    async with (
        open_server(settings(tmp_path)) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        schema = chain(start, end("secrets", "text"))
        answer = await stub.TaskRun(TaskRunRequest(schema=schema, inputs='{"text": "mine"}', wait=True))
        assert loads(answer.outputs) == {"out": "mine"}


async def test_a_call_that_is_made_again_after_a_restart_has_its_secret(tmp_path: Path) -> None:
    """Though the journal holds the placeholder only."""
    arrived: list[Received] = []

    async def hold(received: Received) -> bytes:
        arrived.append(received)
        if len(arrived) == 1:
            await never(received)
        return response(b"done")

    wanted = settings(tmp_path, shutdown_grace=0)
    async with RawServer(hold) as api:
        schema = chain(START, request_node(api.url, reference("CANARY")), end("http_0", "body"))
        async with (
            open_server(wanted) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub: Any = WorkflowRuntimeServiceStub(channel)
            task_id = (await stub.TaskRun(TaskRunRequest(schema=schema))).task_id
            await api.arrived.wait()
        async with (
            open_server(wanted) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub = WorkflowRuntimeServiceStub(channel)
            watched = [r async for r in stub.WatchTask(WatchTaskRequest(task_id=task_id))]
            assert_unseen(watched, files_of(tmp_path))
    assert [received.headers["x-vault"] for received in arrived] == [CANARY] * 2


@pytest.mark.timeout(180)
async def test_a_worker_of_temporal_has_the_secrets(tmp_path: Path) -> None:
    """The value is in no history, though that is not encrypted here; the request has it. Egress rules hold there, too."""
    require_temporal()
    cluster = TemporalServer(tmp_path)
    cluster.start()
    try:
        temporal = {"address": cluster.address, "unencrypted": True}
        egress = {"deny": ["127.0.0.2"]}
        wanted = settings(tmp_path, runtime="temporal", with_worker=True, temporal=temporal, egress=egress)
        async with (
            RawServer(echo) as api,
            RawServer(stream_echo) as model,
            open_server(wanted) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub: Any = WorkflowRuntimeServiceStub(channel)
            http = request_node(api.url, template("key {{secrets.CANARY}}"))
            schema = chain(START, http, model_node(model.url), end("llm_0", "result"))
            answer = await stub.TaskRun(TaskRunRequest(schema=schema, wait=True), wait_for_ready=True)
            assert answer.status.status == Status.STATUS_SUCCEEDED, answer
            assert api.received[0].headers["x-vault"] == f"key {CANARY}"
            assert model.received[0].headers["authorization"] == f"Bearer {CANARY}"
            assert_unseen(answer, *await everything_of(stub, answer.task_id))
            url = f"http://127.0.0.2:{api.port}"
            schema = chain(START, request_node(url, template("x")), end("http_0", "body"))
            answer = await stub.TaskRun(TaskRunRequest(schema=schema, wait=True))
            assert r"The secret \"CANARY\" is not sent to" in str(answer)
            schema = chain(START, model_node(url), end("llm_0", "result"))
            answer = await stub.TaskRun(TaskRunRequest(schema=schema, wait=True))
            assert r"is denied by the egress rule \"127.0.0.2\"" in str(answer)
    finally:
        cluster.close()
