"""The server on a journal that is there and cannot be written: what is stored is served, and new tasks are refused."""

import shutil
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.processes import serve_until_error, server_process
from support.serving import refused
from support.unwritable import bound_by_rights, on_full_disk, take_rights
from support.workflows import ECHO, ENDLESS

from flowgram.runtime.v1.report_pb2 import Status
from flowgram.runtime.v1.runtime_service_pb2 import (
    TaskCancelRequest,
    TaskListRequest,
    TaskReportRequest,
    TaskResultRequest,
    TaskRunRequest,
    WatchTaskRequest,
)
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.app import open_server
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.hosts import JOURNAL_FILE
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.settings.loading import load_settings

KNOWN = TaskRunRequest(schema=ECHO, inputs='{"text": "x"}', request_id="known", wait=True)


async def fill(data: Path, keep: Path | None) -> tuple[str, str]:
    """Leaves a task that has ended and one that runs; with `keep` also the files as a kill would leave them, there."""
    settings = load_settings(flags={"listen": "127.0.0.1:0", "data": data, "code": {"workers": 1}})
    async with open_server(settings) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = WorkflowRuntimeServiceStub(channel)
        done = (await stub.TaskRun(KNOWN)).task_id
        running = (await stub.TaskRun(TaskRunRequest(schema=ENDLESS))).task_id
        if keep is not None:
            shutil.copytree(data, keep)
    return done, running


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.parametrize("reason", ["no rights", "no space"])
async def test_what_is_stored_is_served(tmp_path: Path, reason: str, *, killed: bool) -> None:
    """Reports, results, lists and watches are answered; what would have to write is UNAVAILABLE; one error is logged."""
    data, kept = tmp_path / "data", tmp_path / "kept"
    done, running = await fill(data, kept if killed else None)
    if killed:
        data = kept
        (data / f"{JOURNAL_FILE}-shm").unlink()  # else a full disk has the little space that it needs
    if reason == "no rights":
        before = bound_by_rights()
        take_rights(data)
    else:
        (disk := tmp_path / "disk").mkdir()
        before = on_full_disk(disk, data)
        data = disk
    logged: list[dict[str, Any]] = []
    async with (
        server_process(data, 0, before=before, seen=logged) as (_, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        error, *later = [line["event"] for line in logged if line["level"] == "error"]
        assert later == ["not serving: the journal cannot be written"]
        health = health_pb2_grpc.HealthStub(channel)  # type: ignore[no-untyped-call]  # generated without types
        for name, status in (("", "SERVING"), (SERVICE_NAME, "NOT_SERVING")):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == status
        assert f"{data / JOURNAL_FILE} cannot be used" in error
        assert ("there is no space left" if reason == "no space" else "ermission denied") in error
        assert "What is stored is served" in error

        assert {task.task_id for task in (await stub.TaskList(TaskListRequest())).tasks} == {done, running}
        assert (await stub.TaskReport(TaskReportRequest(task_id=done))).report.outputs
        assert (await stub.TaskResult(TaskResultRequest(task_id=done))).outputs
        events = [
            event async for part in stub.WatchTask(WatchTaskRequest(task_id=done)) for event in part.events
        ]
        assert events[-1].task_status_changed.status.terminated
        result = await stub.TaskResult(TaskResultRequest(task_id=running))
        assert result.status.status == Status.STATUS_PROCESSING
        assert (await stub.TaskRun(KNOWN)).task_id == done

        watch = stub.WatchTask(WatchTaskRequest(task_id=running))
        assert (await watch.read()).events
        for call in (
            stub.TaskRun(TaskRunRequest(schema=ECHO)),
            stub.TaskCancel(TaskCancelRequest(task_id=running)),
            watch,
        ):
            received = await refused(call)
            assert (received.code, received.reason) == (StatusCode.UNAVAILABLE, "STORAGE_UNAVAILABLE")
            assert str(data) not in received.text


async def test_without_a_journal_the_server_does_not_start(tmp_path: Path) -> None:
    """Where nothing is stored and nothing can be, there is nothing to serve: the command says why, and ends."""
    before = bound_by_rights()
    take_rights(tmp_path)
    status, received = await serve_until_error(tmp_path, before)
    assert status == ExitStatus.NOT_STARTED
    assert f"{tmp_path / JOURNAL_FILE} cannot be used: Permission denied" in received
    assert "Traceback" not in received
