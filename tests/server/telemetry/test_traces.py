"""Traces of a real server, as a real OTLP collector gets them."""

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.workflows import ECHO, END, ENDLESS, START, chain, node

from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskReportRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.fake_openai import FakeOpenAI
from flowgram_server.logs import configure_logs
from flowgram_server.settings.loading import load_settings
from flowgram_server.telemetry import tracing
from flowgram_server.telemetry.endpoint import open_telemetry
from flowgram_server.telemetry.tracing import TracingUnusable, is_wanted, open_tracing

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
from support.collector import Collector, attributes_of, collecting

SERVICE = "flowgram.runtime.v1.WorkflowRuntimeService"
TASK_RUN = f"{SERVICE}/TaskRun"
CANARY = "canary-4711-of-a-secret"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE_ID}-{PARENT_ID}-01"


@pytest.fixture
async def collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    async with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
        yield collector


@asynccontextmanager
async def traced(data: Path) -> AsyncIterator[Any]:
    """The stub of a server with traces."""
    flags = {"listen": "127.0.0.1:0", "http_listen": "", "data": data, "code": {"workers": 1}}
    settings = load_settings(flags={**flags, "shutdown_grace": 0.2})
    async with (
        open_telemetry(None) as telemetry,
        open_server(settings, telemetry=telemetry) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield WorkflowRuntimeServiceStub(channel)


async def run(stub: Any, schema: str, metadata: Any = None, **inputs: str) -> Any:
    request = TaskRunRequest(schema=schema, inputs=json.dumps(inputs), wait=True)
    return await stub.TaskRun(request, metadata=metadata)


def llm(model: FakeOpenAI, **values: Any) -> dict[str, Any]:
    constants = {
        "modelName": "dev",
        "apiKey": CANARY,
        "apiHost": model.base_url,
        "temperature": 0,
        "prompt": f"say {CANARY}",
        **values,
    }
    types = {name: "string" if isinstance(value, str) else "number" for name, value in constants.items()}
    return node(
        "llm_0",
        "llm",
        inputs={"type": "object", "properties": {name: {"type": kind} for name, kind in types.items()}},
        inputsValues={name: {"type": "constant", "content": value} for name, value in constants.items()},
        outputs={"type": "object", "properties": {"result": {"type": "string"}}},
    )


def http(url: str) -> dict[str, Any]:
    return node(
        "http_0",
        "http",
        api={"method": "GET", "url": {"type": "template", "content": url}},
        body={"bodyType": "none"},
        headers={},
        headersValues={},
        params={},
        paramsValues={},
        timeout={"timeout": 5000, "retryTimes": 0},
        outputs={"type": "object", "properties": {"statusCode": {"type": "integer"}}},
    )


async def test_from_the_caller_to_the_nodes(tmp_path: Path, collector: Collector) -> None:
    """The call is a child of the caller's span, the task one of the call's, and the runs are of the task's."""
    async with traced(tmp_path) as stub:
        task_id = (await run(stub, ECHO, [("traceparent", TRACEPARENT)], text="hi")).task_id
        call, task, start, end = await collector.until(TASK_RUN, "task", "node start", "node end")
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE_ID}
    assert call.parent_span_id.hex() == PARENT_ID
    assert task.parent_span_id == call.span_id
    assert start.parent_span_id == end.parent_span_id == task.span_id
    found = attributes_of(call)
    assert (found["rpc.service"], found["rpc.method"], found["rpc.grpc.status_code"]) == (
        SERVICE,
        "TaskRun",
        0,
    )
    assert found["flowgram.task.id"] == task_id
    assert attributes_of(task) == {
        "flowgram.task.id": task_id,
        "flowgram.namespace": "default",
        "flowgram.task.resumed": False,
        "flowgram.status": "succeeded",
    }
    assert attributes_of(start) == {
        "flowgram.task.id": task_id,
        "flowgram.node.id": "start_0",
        "flowgram.node.type": "start",
        "flowgram.run.id": "start_0",
        "flowgram.status": "succeeded",
    }
    assert call.kind == call.SPAN_KIND_SERVER
    assert {resource["service.name"] for resource in collector.resources} == {"flowgram-server"}


async def test_a_model(tmp_path: Path, collector: Collector) -> None:
    """Its span follows the conventions for generative AI, is within the node's, and is sent on; no content is in any."""
    async with FakeOpenAI() as model, traced(tmp_path) as stub:
        await run(stub, chain(START, llm(model), END), text=CANARY)
        run_span, chat = await collector.until("node llm", "chat dev")
        host, port = model.base_url.removeprefix("http://").removesuffix("/v1").split(":")
        assert attributes_of(chat) == {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "dev",
            "gen_ai.usage.input_tokens": 2,
            "gen_ai.usage.output_tokens": 4,
            "server.address": host,
            "server.port": int(port),
        }
        sent = model.asked[-1].headers["traceparent"]
        assert sent.startswith(f"00-{chat.trace_id.hex()}-{chat.span_id.hex()}-0")
        assert chat.parent_span_id == run_span.span_id
        assert chat.kind == chat.SPAN_KIND_CLIENT
        await run(stub, chain(START, llm(model, modelName="error-401"), END), text=CANARY)
        failed, _ = await collector.until("chat error-401", "task")
        assert failed.status.code == failed.status.STATUS_CODE_ERROR
    assert CANARY not in str(collector.spans)


async def test_a_request(tmp_path: Path, collector: Collector) -> None:
    """It carries the trace on; its span names neither path nor query; a status of the server's is reported."""
    async with FakeOpenAI() as model, traced(tmp_path) as stub:
        root = model.base_url.removesuffix("/v1")
        await run(stub, chain(START, http(f"{root}/{CANARY}?key={CANARY}"), END))
        span, task = await collector.until("GET", "task")
        found = attributes_of(span)
        assert (found["http.request.method"], found["http.response.status_code"]) == ("GET", 404)
        assert (found["url.scheme"], found["error.type"]) == ("http", "404")
        assert span.trace_id == task.trace_id
    assert CANARY not in str(collector.spans)


async def test_a_header_of_the_workflow_counts(tmp_path: Path, collector: Collector) -> None:
    """Where a workflow says itself which trace a request is a part of, nothing else is sent."""
    asked: list[dict[str, str]] = []

    async with FakeOpenAI() as model, traced(tmp_path) as stub:
        request = http(f"{model.base_url}/chat/completions")
        request["data"]["api"]["method"] = "POST"
        request["data"]["body"] = {
            "bodyType": "JSON",
            "json": {"type": "template", "content": '{"model": "dev", "messages": []}'},
        }
        request["data"]["headers"] = {"type": "object", "properties": {"traceparent": {"type": "string"}}}
        request["data"]["headersValues"] = {"traceparent": {"type": "constant", "content": TRACEPARENT}}
        await run(stub, chain(START, request, END))
        asked.append(dict(model.asked[-1].headers))
    assert asked[0]["traceparent"] == TRACEPARENT


async def test_a_trace_goes_on_after_a_restart(tmp_path: Path, collector: Collector) -> None:
    """What a task does then is in the trace of its caller; its span is a new one, which says so."""
    async with traced(tmp_path) as stub:
        request = TaskRunRequest(schema=ENDLESS)
        task_id = (await stub.TaskRun(request, metadata=[("traceparent", TRACEPARENT)])).task_id
        await until_running(stub, task_id)
    first = collector.named("task")
    async with traced(tmp_path) as stub:
        await stub.TaskCancel(TaskCancelRequest(task_id=task_id))
        while len(collector.named("task")) < 2:
            await collector.until("node code", f"{SERVICE}/TaskCancel")
            if len(collector.named("task")) < 2:
                await stub.TaskReport(TaskReportRequest(task_id=task_id))
    before, after = collector.named("task")
    assert [before] == first
    assert (before.trace_id.hex(), after.trace_id.hex()) == (TRACE_ID, TRACE_ID)
    assert before.parent_span_id == after.parent_span_id
    assert attributes_of(after)["flowgram.task.resumed"] is True
    assert attributes_of(after)["flowgram.status"] == "canceled"
    runs = collector.named("node code")
    assert {span.parent_span_id for span in runs} == {before.span_id, after.span_id}


async def until_running(stub: Any, task_id: str) -> None:
    watch, seen = stub.WatchTask(WatchTaskRequest(task_id=task_id)), ""
    while "code_0" not in seen:
        seen += str(await watch.read())
    watch.cancel()


async def test_a_caller_that_is_not_sampled(tmp_path: Path, collector: Collector) -> None:
    """Nothing of it is sent, but what it asks for is still a part of its trace."""
    async with FakeOpenAI() as model, traced(tmp_path) as stub:
        off = f"00-{TRACE_ID}-{PARENT_ID}-00"
        await run(stub, chain(START, llm(model), END), [("traceparent", off)])
        sent = model.asked[-1].headers["traceparent"]
        await run(stub, ECHO, text="hi")
        await collector.until("task")
    assert (sent[3:35], sent[-2:]) == (TRACE_ID, "00")
    assert TRACE_ID not in {span.trace_id.hex() for span in collector.spans}


@pytest.mark.parametrize("traceparent", ["", "nonsense", f"00-{'0' * 32}-{PARENT_ID}-01", "x" * 5000])
async def test_a_caller_that_sends_nonsense(tmp_path: Path, collector: Collector, traceparent: str) -> None:
    """The call begins a trace of its own."""
    async with traced(tmp_path) as stub:
        await run(stub, ECHO, [("traceparent", traceparent)], text="hi")
        call, _ = await collector.until(TASK_RUN, "task")
    assert call.parent_span_id == b""


async def test_a_refused_call(tmp_path: Path, collector: Collector) -> None:
    """Its span has the contract's reason; what is the caller's mistake is no error of the server."""
    async with traced(tmp_path) as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.TaskReport(TaskReportRequest(task_id="nowhere"))
        (span,) = await collector.until(f"{SERVICE}/TaskReport")
    assert attributes_of(span)["error.type"] == "TASK_NOT_FOUND"
    assert span.status.code == span.status.STATUS_CODE_UNSET


async def test_log_lines_name_the_trace(tmp_path: Path, collector: Collector) -> None:
    """Those that are written while a call is handled have its ids."""
    lines = io.StringIO()
    configure_logs("info", "json", lines)
    async with traced(tmp_path) as stub:
        await run(stub, ECHO, [("traceparent", TRACEPARENT)], text="hi")
        (call,) = await collector.until(TASK_RUN)
    (line,) = [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == "call"]
    assert (line["trace_id"], line["span_id"]) == (TRACE_ID, call.span_id.hex())


async def test_a_collector_that_is_away_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks run as ever, and the server ends soon."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing, "_SHUTDOWN_SECONDS", 0.05)
    async with traced(tmp_path) as stub:
        assert (await run(stub, ECHO, text="hi")).outputs == '{"text":"hi"}'


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4317"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4317"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "otlp"}, False),
    ],
)
def test_when_traces_are_wanted(environment: dict[str, str], wanted: bool) -> None:
    """An endpoint or an exporter switches them on; the usual variables switch them off."""
    assert is_wanted(environment) is wanted


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "carrier-pigeon"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
    ],
)
async def test_what_cannot_be_done_is_said(environment: dict[str, str]) -> None:
    """The server does not start without the traces that somebody wants."""
    with pytest.raises(TracingUnusable, match="should be"):
        async with open_tracing(environment):
            pass
