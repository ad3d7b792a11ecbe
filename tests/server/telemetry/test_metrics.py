"""Metrics of a real server, scraped over HTTP and read by prometheus-client's own parser."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from support.keys import add_key
from support.workflows import ECHO, END, ENDLESS, START, chain, node

from flowgram.runtime.v1.runtime_service_pb2 import (
    BatchRun,
    TaskCancelRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunBatchRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.nodes.llm.usage import TokenUsage
from flowgram_server.address import address_of
from flowgram_server.app import ListenError, Server, open_server, serve
from flowgram_server.fake_openai import FakeOpenAI
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals
from flowgram_server.telemetry.endpoint import bind_metrics, open_telemetry
from flowgram_server.telemetry.metrics import Metrics

SERVICE = "flowgram.runtime.v1.WorkflowRuntimeService"
CANARY = "canary-4711-of-a-secret"


class Scraped(dict[str, dict[tuple[tuple[str, str], ...], float]]):
    """Samples by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        """The value of the one sample with these labels, of those that it has."""
        wanted = labels.items()
        (found,) = [value for given, value in self[name].items() if wanted <= dict(given).items()]
        return found


class Observed:
    """A server, and its metrics."""

    def __init__(self, server: Server, metrics: str, stub: Any) -> None:
        self.server = server
        self.metrics = metrics
        self.stub = stub

    async def text(self, path: str = "/metrics", accept: str = "") -> httpx2.Response:
        async with httpx2.AsyncClient(trust_env=False) as http:
            return await http.get(f"http://{self.metrics}{path}", headers={"accept": accept})

    async def scrape(self) -> Scraped:
        return parsed((await self.text()).text)

    async def run(self, schema: str = ECHO, **inputs: str) -> Any:
        return await self.stub.TaskRun(TaskRunRequest(schema=schema, inputs=json.dumps(inputs), wait=True))


def parsed(text: str) -> Scraped:
    scraped = Scraped()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            scraped.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return scraped


def settings_for(data: Path, **flags: Any) -> Settings:
    given = {"listen": "127.0.0.1:0", "http_listen": "", "metrics_listen": "127.0.0.1:0", "data": data}
    return load_settings(flags={**given, "code": {"workers": 1}, "shutdown_grace": 0.2, **flags})


@asynccontextmanager
async def observed(settings: Settings) -> AsyncIterator[Observed]:
    listener = bind_metrics(settings)
    assert listener is not None
    async with (
        open_telemetry(listener) as telemetry,
        open_server(settings, telemetry=telemetry) as server,
        grpc.aio.insecure_channel(server.address) as channel,
    ):
        yield Observed(server, address_of(listener), WorkflowRuntimeServiceStub(channel))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Observed]:
    async with observed(settings_for(tmp_path)) as server:
        yield server


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address_of(listener)


def llm(model: FakeOpenAI, **values: Any) -> dict[str, Any]:
    """An llm node."""
    constants = {
        "modelName": "dev",
        "apiKey": CANARY,
        "apiHost": model.base_url,
        "temperature": 0,
        "prompt": CANARY,
        **values,
    }
    return node(
        "llm_0",
        "llm",
        inputs={
            "type": "object",
            "properties": {name: {"type": _type(constants[name])} for name in constants},
        },
        inputsValues={name: {"type": "constant", "content": value} for name, value in constants.items()},
        outputs={"type": "object", "properties": {"result": {"type": "string"}}},
    )


def _type(value: Any) -> str:
    return "string" if isinstance(value, str) else "number"


async def test_a_task_that_succeeds(server: Observed) -> None:
    """Its call, its end, its nodes and its commit are counted once each."""
    await server.run(text="hi")
    found = await server.scrape()
    method = {"grpc_type": "unary", "grpc_service": SERVICE, "grpc_method": "TaskRun"}
    assert found.of("grpc_server_started_total", **method) == 1
    assert found.of("grpc_server_handled_total", **method, grpc_code="OK") == 1
    assert found.of("grpc_server_msg_received_total", **method) == 1
    assert found.of("grpc_server_msg_sent_total", **method) == 1
    assert found.of("grpc_server_handling_seconds_count", **method) == 1
    assert found.of("flowgram_tasks_started_total") == 1
    assert found.of("flowgram_task_seconds_count", status="succeeded") == 1
    assert found.of("flowgram_task_seconds_count", status="failed") == 0
    assert found.of("flowgram_node_seconds_count", type="start", status="succeeded") == 1
    assert found.of("flowgram_node_seconds_count", type="end", status="succeeded") == 1
    assert found.of("flowgram_journal_commit_seconds_count") == found.of("flowgram_journal_group_size_count")
    assert found.of("flowgram_journal_group_size_sum") >= 1
    assert found.of("flowgram_journal_written_bytes_total") >= len(ECHO)
    assert found.of("flowgram_journal_bytes") > 0
    assert found.of("flowgram_disk_free_bytes") > 0
    assert found.of("flowgram_build_info", runtime="embedded") == 1
    assert found.of("flowgram_serving") == 1
    assert found.of("process_resident_memory_bytes") > 0


async def test_what_runs_is_counted_while_it_runs(server: Observed) -> None:
    """Tasks, calls, watches and the processes of scripts; a stream's messages as they are sent."""
    running = await server.stub.TaskRun(TaskRunRequest(schema=ENDLESS))
    watch = server.stub.WatchTask(WatchTaskRequest(task_id=running.task_id))
    seen = ""
    while "code_0" not in seen:
        seen += str(await watch.read())
    while not (found := await server.scrape()).of("flowgram_code_workers"):
        pass
    assert found.of("flowgram_tasks", status="processing") == 1
    assert found.of("flowgram_tasks", status="pending") == 0
    assert found.of("flowgram_calls", type="code", state="running") == 1
    assert found.of("flowgram_calls", type="code", state="waiting") == 0
    assert found.of("flowgram_watches") == 1
    stream = {"grpc_type": "server_stream", "grpc_method": "WatchTask"}
    assert found.of("grpc_server_msg_sent_total", **stream) >= 1
    assert found.of("grpc_server_started_total", **stream) == 1
    assert all(dict(labels)["grpc_method"] != "WatchTask" for labels in found["grpc_server_handled_total"])
    await server.stub.TaskCancel(TaskCancelRequest(task_id=running.task_id))
    while await watch.read() is not grpc.aio.EOF:
        pass
    found = await server.scrape()
    assert found.of("flowgram_tasks", status="processing") == 0
    assert found.of("flowgram_task_seconds_count", status="canceled") == 1
    assert found.of("flowgram_node_seconds_count", type="code", status="canceled") == 1
    assert found.of("flowgram_watches") == 0
    assert found.of("flowgram_code_worker_restarts_total") == 1


async def test_messages_of_a_stream_are_counted_one_by_one(server: Observed) -> None:
    """In both directions of a batch; and a call that is refused has received one message, and sent none."""

    def request(number: int) -> TaskRunBatchRequest:
        run = BatchRun(key=str(number), request=TaskRunRequest(inputs='{"text": "hi"}'))
        return TaskRunBatchRequest(runs=[run], defaults=None if number else TaskRunRequest(schema=ECHO))

    answers = [answer async for answer in server.stub.TaskRunBatch(map(request, range(3)))]
    with pytest.raises(grpc.aio.AioRpcError):
        await server.stub.TaskReport(TaskReportRequest(task_id="nowhere"))
    found = await server.scrape()
    assert found.of("grpc_server_msg_received_total", grpc_method="TaskRunBatch") == 3
    assert found.of("grpc_server_msg_sent_total", grpc_method="TaskRunBatch") == len(answers) >= 1
    assert found.of("grpc_server_msg_received_total", grpc_method="TaskReport") == 1
    assert found.of("grpc_server_msg_sent_total", grpc_method="TaskReport") == 0


async def test_refusals_have_their_reasons(server: Observed) -> None:
    """By the contract's names, and with gRPC's code as other languages spell it."""
    with pytest.raises(grpc.aio.AioRpcError):
        await server.stub.TaskReport(TaskReportRequest(task_id="nowhere"))
    with pytest.raises(grpc.aio.AioRpcError):
        await server.stub.TaskResult(TaskResultRequest(task_id=""))
    found = await server.scrape()
    assert found.of("grpc_server_handled_total", grpc_method="TaskReport", grpc_code="NotFound") == 1
    assert found.of("flowgram_refusals_total", reason="TASK_NOT_FOUND") == 1
    assert found.of("flowgram_refusals_total", reason="ARGUMENT_INVALID") == 1


async def test_failed_authentication_and_quotas_are_counted(tmp_path: Path) -> None:
    """By their reasons, and as calls that were handled."""
    keys = tmp_path / "keys.json"
    runner = add_key(keys, "team-a")
    quotas = {"default": {"max_tasks": 0}}
    settings = settings_for(tmp_path, auth={"api_keys_file": keys}, quotas=quotas)
    request = TaskRunRequest(schema=ECHO)
    async with observed(settings) as server:
        for metadata in (None, (("authorization", f"Bearer fgk_{CANARY}"),), runner):
            with pytest.raises(grpc.aio.AioRpcError):
                await server.stub.TaskRun(request, metadata=metadata)
        text = (await server.text()).text
    found = parsed(text)
    assert found.of("flowgram_refusals_total", reason="CREDENTIALS_MISSING") == 1
    assert found.of("flowgram_refusals_total", reason="CREDENTIALS_INVALID") == 1
    assert found.of("flowgram_auth_failures_total", reason="missing") == 1
    assert found.of("flowgram_auth_failures_total", reason="malformed") == 1
    assert found.of("flowgram_refusals_total", reason="QUOTA_EXCEEDED") == 1
    assert found.of("grpc_server_handled_total", grpc_method="TaskRun", grpc_code="Unauthenticated") == 2
    assert CANARY not in text


async def test_what_clients_send_makes_no_labels(server: Observed) -> None:
    """Methods and node types that do not exist share what there is, however many are tried."""
    async with grpc.aio.insecure_channel(server.server.address) as channel:
        for number in range(3):
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/{SERVICE}/Method{number}")(b"")
    text = (await server.text()).text
    assert "Method" not in text
    schema = chain(START, node("odd_0", f"type-of-{CANARY}"), END)
    await server.run(schema)
    text = (await server.text()).text
    assert CANARY not in text
    assert parsed(text).of("flowgram_node_seconds_count", type="other", status="failed") == 1


async def test_tokens_of_a_model(tmp_path: Path) -> None:
    """The API is asked for them, also where it streams; one that refuses to tell is asked without."""
    async with FakeOpenAI() as model, observed(settings_for(tmp_path)) as server:
        for name in ("dev", "dev", "no-usage", "no-usage"):
            await server.run(chain(START, llm(model, modelName=name, prompt="one two three"), END))
        found = await server.scrape()
        asked = [(each.body["model"], "stream_options" in each.body) for each in model.asked]
    assert found.of("gen_ai_client_token_usage_count", gen_ai_token_type="input") == 2
    assert found.of("gen_ai_client_token_usage_sum", gen_ai_token_type="input") == 6
    assert found.of("gen_ai_client_token_usage_sum", gen_ai_token_type="output") == 10
    assert asked[:2] == [("dev", True), ("dev", True)]
    assert ("no-usage", False) in asked[2:]
    assert found.of("flowgram_node_seconds_count", type="llm", status="succeeded") == 4


def test_models_beyond_a_number_share_a_label() -> None:
    """Workflows name models as they like: the first ones get labels, and long names never do."""
    metrics = Metrics()
    for number in range(80):
        metrics.models.used_tokens(f"model-{number}", TokenUsage(1, 2))
    metrics.models.used_tokens("m" * 1000, TokenUsage(1, None))
    text = metrics.exposition("")[0].decode()
    found = parsed(text)["gen_ai_client_token_usage_count"]
    assert len({dict(labels)["gen_ai_request_model"] for labels in found}) == 51
    assert sum(v for labels, v in found.items() if dict(labels)["gen_ai_request_model"] == "other") == 61
    assert "mmm" not in text


async def test_a_secret_is_in_no_metric(tmp_path: Path) -> None:
    """Neither keys nor prompts, answers, inputs or texts of errors."""
    async with FakeOpenAI() as model, observed(settings_for(tmp_path)) as server:
        await server.run(chain(START, llm(model), END), text=CANARY)
        await server.run(chain(START, llm(model, modelName="error-401"), END), text=CANARY)
        for accept in ("", "application/openmetrics-text"):
            answer = await server.text(accept=accept)
            assert answer.status_code == 200
            assert CANARY not in answer.text
            assert 'flowgram_node_seconds_count{status="failed",type="llm"} 1.0' in answer.text


async def test_the_lag_of_the_event_loop(server: Observed) -> None:
    """It is measured all the time."""
    while not (await server.scrape()).of("flowgram_event_loop_lag_seconds_count"):
        pass


async def test_formats(server: Observed) -> None:
    """Prometheus gets its text, and OpenMetrics where it asks for it."""
    assert (await server.text()).headers["content-type"].startswith("text/plain")
    answer = await server.text(accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_every_metric_is_documented(server: Observed) -> None:
    """The tables of the documentation, by which the dashboard is checked, name each metric of ours that a server gives, and no other."""
    document = (Path(__file__).parents[3] / "docs/observability.md").read_text(encoding="utf-8")
    await server.run(text="hi")
    text = (await server.text()).text
    names = set(re.findall(r"^# TYPE ((?:flowgram|grpc|gen_ai)_\w+)", text, re.MULTILINE))
    assert len(names) > 15
    assert names == set(re.findall(r"^\| `((?:flowgram|grpc|gen_ai)_\w+)` \|", document, re.MULTILINE))


async def test_probes(tmp_path: Path) -> None:
    """The process lives from its start on; it is ready once it serves, and not while it drains."""
    settings = settings_for(tmp_path)
    listener = bind_metrics(settings)
    assert listener is not None

    async def probe(path: str) -> tuple[int, str]:
        async with httpx2.AsyncClient(trust_env=False) as http:
            answer = await http.get(f"http://{address_of(listener)}{path}")
            return answer.status_code, answer.text.strip()

    async with open_telemetry(listener) as telemetry:
        assert await probe("/healthz") == (200, "ok")
        assert await probe("/readyz") == (503, "starting")
        async with open_server(settings, telemetry=telemetry) as server:
            assert await probe("/readyz") == (200, "ok")
            async with grpc.aio.insecure_channel(server.address) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE))
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
                draining = asyncio.create_task(server.drain(5))
                assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
                assert await probe("/readyz") == (503, "draining")
                assert await probe("/healthz") == (200, "ok")
                watch.cancel()
                await draining


async def test_an_address_that_was_asked_for_is_taken(tmp_path: Path, taken: str) -> None:
    """The server does not start without the metrics that somebody wants."""
    with pytest.raises(ListenError, match=f"cannot listen on {taken} for HTTP"):
        await serve(settings_for(tmp_path / "data", metrics_listen=taken), StopSignals())
    assert not (tmp_path / "data").exists()


def test_the_default_address_is_taken(taken: str) -> None:
    """Nobody asked for it: the server goes on without metrics, and says so."""
    settings = Settings.model_construct(set(), metrics_listen=taken)
    with capture_logs() as logs:
        assert bind_metrics(settings) is None
    assert [(line["event"], line["log_level"]) for line in logs] == [("no metrics", "warning")]


async def test_without_metrics_nothing_is_there(tmp_path: Path) -> None:
    """The library is not even imported, and no observer is notified of anything."""
    async with open_telemetry(None) as telemetry:
        assert telemetry.observer(("start",)) is None
        assert (telemetry.call_observers, telemetry.on_usage, telemetry.on_commit) == ([], None, None)
    program = (
        "import asyncio, sys\n"
        "from flowgram_server.app import open_server\n"
        "from flowgram_server.settings.loading import load_settings\n"
        "async def main():\n"
        f"    flags = {{'listen': '127.0.0.1:0', 'data': {str(tmp_path)!r}}}\n"
        "    async with open_server(load_settings(flags=flags)): pass\n"
        "asyncio.run(main())\n"
        "sys.exit(any(name.startswith(('prometheus_client', 'opentelemetry')) for name in sys.modules))\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
