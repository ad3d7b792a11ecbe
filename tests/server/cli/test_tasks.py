import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.scripted_server import Refusal, ScriptedServer

from flowgram.runtime.v1 import report_pb2, runtime_service_pb2
from flowgram_server.cli.root import run

SUCCEEDED = {"status": report_pb2.STATUS_SUCCEEDED}
ERROR = {"text": "no model", "type": report_pb2.Message.TYPE_ERROR, "node_id": "llm_0"}


def result_response(status: int, **more: Any) -> runtime_service_pb2.TaskResultResponse:
    return runtime_service_pb2.TaskResultResponse(status={"status": status}, **more)


async def test_result(server: ScriptedServer, flowgram: Any) -> None:
    """The outputs go to the standard output, everything else to the other stream; the exit status tells."""
    server.on(
        "TaskResult",
        result_response(report_pb2.STATUS_SUCCEEDED, outputs='{"a": 1}'),
        result_response(report_pb2.STATUS_FAILED, errors=[ERROR]),
        result_response(report_pb2.STATUS_PROCESSING),
    )
    assert await flowgram("result", "t1", "--wait") == (0, '{\n  "a": 1\n}\n', "")
    assert server.requests("TaskResult")[0].wait
    assert await flowgram("result", "t1") == (1, "", "failed\n  llm_0: no model\n")
    assert await flowgram("result", "t1") == (6, "", "processing\n")


async def test_result_as_json(server: ScriptedServer, flowgram: Any) -> None:
    """--json gives status and errors too."""
    server.on("TaskResult", result_response(report_pb2.STATUS_FAILED, errors=[ERROR]))
    done = await flowgram("result", "t1", "--json")
    received = json.loads(done.out)
    assert (done.status, received["status"], received["errors"][0]["text"]) == (1, "failed", "no model")


async def test_report(server: ScriptedServer, flowgram: Any) -> None:
    """A report shows status, nodes with their runs, messages and outputs; --json has the snapshots."""
    report = report_pb2.Report(
        task_id="t1",
        status=SUCCEEDED,
        outputs='{"a": 1}',
        nodes=[
            {
                "node_id": "llm_0",
                "status": SUCCEEDED,
                "snapshots": [{"id": "x", "inputs": '{"q": 1}'}, {"id": "y"}],
            }
        ],
        messages=[ERROR],
        last_sequence=7,
    )
    server.on("TaskReport", runtime_service_pb2.TaskReportResponse(report=report))
    done = await flowgram("report", "t1")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "status succeeded" in lines
    assert "succeeded llm_0 2 runs" in lines
    assert "error llm_0: no model" in lines
    assert '"a": 1' in lines
    received = json.loads((await flowgram("report", "t1", "--json")).out)
    assert received["nodes"]["llm_0"]["snapshots"][0]["inputs"] == {"q": 1}


async def test_cancel(server: ScriptedServer, flowgram: Any) -> None:
    """Canceling a task that had ended is no error."""
    server.on(
        "TaskCancel",
        runtime_service_pb2.TaskCancelResponse(success=True),
        runtime_service_pb2.TaskCancelResponse(success=False),
    )
    assert await flowgram("cancel", "t1", "--reason", "enough") == (0, "canceled\n", "")
    assert server.requests("TaskCancel")[0].reason == "enough"
    assert await flowgram("cancel", "t1") == (0, "had ended already\n", "")


@pytest.mark.parametrize("success", [True, False])
async def test_cancel_as_json(server: ScriptedServer, flowgram: Any, success: bool) -> None:
    """For programs: one object, which tells whether this call stopped the task."""
    server.on("TaskCancel", runtime_service_pb2.TaskCancelResponse(success=success))
    done = await flowgram("cancel", "t1", "--json")
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out) == {"task_id": "t1", "success": success}


async def test_list(server: ScriptedServer, flowgram: Any) -> None:
    """A line per task; --limit stops early, across pages; filters are sent."""
    tasks = [
        {"task_id": f"t{i}", "status": SUCCEEDED, "labels": {"k": f"v{i}"}, "display_name": f"order {i}"}
        for i in range(3)
    ]
    server.on("TaskList", runtime_service_pb2.TaskListResponse(tasks=tasks, next_page_token="x"))
    done = await flowgram("list", "-n", "4", "--status", "succeeded", "--status", "failed", "--label", "a=b")
    assert [line.split()[0] for line in done.out.splitlines()] == ["t0", "t1", "t2", "t0"]
    assert "  order 0  k=v0\n" in done.out
    request = server.requests("TaskList")[0]
    assert list(request.statuses) == [report_pb2.STATUS_SUCCEEDED, report_pb2.STATUS_FAILED]
    assert (dict(request.labels), request.page_size) == ({"a": "b"}, 4)
    done = await flowgram("list", "-n", "1", "--json")
    assert json.loads(done.out) == {
        "task_id": "t0",
        "status": "succeeded",
        "labels": {"k": "v0"},
        "display_name": "order 0",
        "namespace": "",
        "last_sequence": 0,
    }


async def test_list_and_watch(server: ScriptedServer, flowgram: Any) -> None:
    """--watch prints the tasks, then those that change; with --json also those that are gone."""
    task = {"task_id": "t1", "status": {"status": report_pb2.STATUS_PROCESSING}, "last_sequence": 1}
    ended = task | {"status": SUCCEEDED, "last_sequence": 2}
    changes = runtime_service_pb2.WatchTasksResponse
    refused = Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough", "TOO_MANY_WATCHES")
    server.on("ServerInfo", runtime_service_pb2.ServerInfoResponse())
    server.on("TaskList", runtime_service_pb2.TaskListResponse(tasks=[task]))
    server.on("WatchTasks", [changes(), changes(tasks=[ended]), changes(removed_task_ids=["t1"]), refused])
    done = await flowgram("list", "--watch", "--label", "a=b")
    assert [line.split()[:2] for line in done.out.splitlines()] == [["t1", "processing"], ["t1", "succeeded"]]
    assert done.status == 5
    assert dict(server.requests("WatchTasks")[0].labels) == {"a": "b"}
    done = await flowgram("list", "--watch", "--json")
    assert json.loads(done.out.splitlines()[-1]) == {"task_id": "t1", "removed": True}
    assert (await flowgram("list", "--watch", "-n", "3")).status == 2


async def test_validate(server: ScriptedServer, flowgram: Any, tmp_path: Any) -> None:
    """Problems are lines, and exit status 2."""
    server.on(
        "TaskValidate",
        runtime_service_pb2.TaskValidateResponse(valid=True),
        runtime_service_pb2.TaskValidateResponse(
            errors=["a", "b"], problems=[{"field": "schema.nodes", "text": "a"}, {"text": "b"}]
        ),
        runtime_service_pb2.TaskValidateResponse(
            valid=True, warnings=[{"field": "inputs.x", "text": "not declared"}]
        ),
    )
    file = tmp_path / "w.json"
    file.write_text('{"nodes": []}')
    assert await flowgram("validate", str(file)) == (0, "valid\n", "")
    assert await flowgram("validate", str(file)) == (2, "", "schema.nodes: a\nb\n")
    assert await flowgram("validate", str(file)) == (0, "valid\n", "warning: inputs.x: not declared\n")
    done = await flowgram("validate", str(file), "--json")
    assert json.loads(done.out) == {
        "valid": True,
        "errors": [],
        "problems": [],
        "warnings": [{"field": "inputs.x", "description": "not declared"}],
    }


async def test_info(server: ScriptedServer, flowgram: Any) -> None:
    """Name, version and node types are shown."""
    server.on(
        "ServerInfo",
        runtime_service_pb2.ServerInfoResponse(name="n", version="1.2", node_types=["llm", "code"]),
    )
    done = await flowgram("info", "--metadata", "authorization=Bearer x")
    assert "version   1.2\n" in done.out
    assert "nodes     llm code\n" in done.out
    assert server.servicer.metadata[0]["authorization"] == "Bearer x"
    assert json.loads((await flowgram("info", "--json")).out)["node_types"] == ["llm", "code"]


async def test_a_token(server: ScriptedServer, flowgram: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag or a variable says who calls; an empty variable says that nobody does. A refusal says how."""
    answer = runtime_service_pb2.ServerInfoResponse(name="n")
    server.on("ServerInfo", answer, answer, answer, Refusal(grpc.StatusCode.UNAUTHENTICATED, "ask for a key"))
    await flowgram("info", "--token", "flag")
    monkeypatch.setenv("FLOWGRAM_TOKEN", "variable")
    await flowgram("info")
    monkeypatch.setenv("FLOWGRAM_TOKEN", "")
    await flowgram("info")
    sent = [metadata.get("authorization") for metadata in server.servicer.metadata]
    assert sent == ["Bearer flag", "Bearer variable", None]
    done = await flowgram("info")
    assert done.status == 5
    assert "ask for a key" in done.err
    assert "FLOWGRAM_TOKEN" in done.err


async def test_half_a_client_certificate(flowgram: Any, tmp_path: Path) -> None:
    """A certificate without its key is a mistake, and so is a file that is not there."""
    done = await flowgram("info", "--tls-cert", str(tmp_path / "a"))
    assert (done.status, "belong together" in done.err) == (2, True)
    done = await flowgram("info", "--tls-cert", str(tmp_path / "a"), "--tls-key", str(tmp_path / "b"))
    assert (done.status, "No such file" in done.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        "",
        "serve",
        "gateway",
        "dev-llm",
        "run",
        "watch",
        "report",
        "result",
        "cancel",
        "list",
        "validate",
        "info",
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of each command tells its exit statuses."""
    assert run([*command.split(), "--help"]) == 0
    assert "Exit status:" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is that of the package."""
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("flowgram, version ")
