"""Metrics and traces of a server with a worker on a Temporal cluster."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.temporal_server import TemporalServer, require_temporal
from support.workflows import END, START, chain, node

from flowgram.runtime.v1.runtime_service_pb2 import TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.settings.loading import load_settings
from flowgram_server.telemetry.metrics import Metrics
from flowgram_server.telemetry.telemetry import Telemetry
from flowgram_server.telemetry.tracing import open_tracing

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")
from support.collector import attributes_of, collecting

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SCRIPT = node(
    "code_0",
    "code",
    script={"language": "javascript", "content": "async function main() { return {}; }"},
    inputs={"type": "object", "properties": {}},
    inputsValues={},
    outputs={"type": "object", "properties": {}},
)


@pytest.mark.timeout(180)
async def test_a_task_with_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server counts what it accepts, its worker what ends; the span of the call is in the trace of the caller."""
    require_temporal()
    cluster = TemporalServer(tmp_path)
    cluster.start()
    flags: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "http_listen": "",
        "runtime": "temporal",
        "with_worker": True,
        "code": {"workers": 1},
        "temporal": {"address": cluster.address, "unencrypted": True},
    }
    metrics = Metrics()
    try:
        async with collecting() as collector:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{collector.address}")
            monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
            async with (
                open_tracing() as tracing,
                open_server(load_settings(flags=flags), telemetry=Telemetry(metrics, tracing)) as server,
                grpc.aio.insecure_channel(server.address) as channel,
            ):
                stub: Any = WorkflowRuntimeServiceStub(channel)
                request = TaskRunRequest(schema=chain(START, SCRIPT, END), inputs='{"text": "hi"}', wait=True)
                trace = [("traceparent", f"00-{TRACE_ID}-b7ad6b7169203331-01")]
                answer = await stub.TaskRun(request, metadata=trace, wait_for_ready=True)
                assert json.loads(answer.outputs) == {"text": "hi"}
                (span,) = await collector.until("node code")
    finally:
        cluster.close()
    assert span.trace_id.hex() == TRACE_ID
    assert attributes_of(span)["flowgram.task.id"] == answer.task_id
    assert attributes_of(span)["flowgram.status"] == "succeeded"
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.exposition("")[0].decode())
        for sample in family.samples
    }
    assert found["flowgram_tasks_started_total",] == 1
    assert found["flowgram_task_seconds_count", "succeeded"] == 1
    assert found["flowgram_node_seconds_count", "succeeded", "code"] == 1
