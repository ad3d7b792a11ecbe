"""A task that kills the process whenever it is worked on does not keep the server down."""

import json
from pathlib import Path
from typing import Any

import grpc
import pytest
from support.graphs import edge, end, node, start
from support.packages import add_package
from support.processes import line, server_process, starting_process

from flowgram.runtime.v1.runtime_service_pb2 import TaskReportRequest, TaskResultRequest, TaskRunRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.modeling.status import Status

DEADLY = """
import asyncio, os, pathlib, signal
from flowgram_core.engine.node_type import CallBehavior

class Held:
    type = "held"

    def bind(self, node):
        return CallBehavior(lambda scope, inputs: inputs)

    async def execute(self, call, context):
        while not pathlib.Path(os.environ["GO_ON"]).exists():
            await asyncio.sleep(0.01)
        return {}

class Deadly(Held):
    type = "deadly"

    def bind(self, node):
        return CallBehavior(lambda scope, inputs: os.kill(os.getpid(), signal.SIGKILL))

class DeadlyCall(Held):
    type = "deadly_call"

    async def execute(self, call, context):
        await super().execute(call, context)
        os.kill(os.getpid(), signal.SIGKILL)
"""
ENTRY_POINTS = "held = deadly:Held\ndeadly = deadly:Deadly\ndeadly_call = deadly:DeadlyCall"


@pytest.mark.parametrize("deadly", ["deadly", "deadly_call"])
async def test_a_task_that_kills_three_processes_is_parked(
    deadly: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replay kills the process twice more, whatever a supervisor does; then the server serves, and says why it failed."""
    monkeypatch.setenv("GO_ON", str(tmp_path / "go_on"))
    packages, data = tmp_path / "packages", tmp_path / "data"
    add_package(packages, "deadly", DEADLY, ENTRY_POINTS)
    nodes = [start(), node("held_0", "held"), node("deadly_0", deadly), end()]
    edges = [edge("start_0", "held_0"), edge("held_0", "deadly_0"), edge("deadly_0", "end_0")]
    schema = json.dumps({"nodes": nodes, "edges": edges})
    async with (
        server_process(data, 0, packages) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub: Any = WorkflowRuntimeServiceStub(channel)
        task_id = (await stub.TaskRun(TaskRunRequest(schema=schema))).task_id
        (tmp_path / "go_on").touch()
        assert await process.wait() < 0
    for _ in range(2):
        async with starting_process(data, 0, packages) as process:
            assert await process.wait() < 0
    async with (
        server_process(data, 0, packages) as (process, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = WorkflowRuntimeServiceStub(channel)
        result = await stub.TaskResult(TaskResultRequest(task_id=task_id, wait=True))
        assert result.status.status == Status.FAILED
        report = (await stub.TaskReport(TaskReportRequest(task_id=task_id))).report
        assert "3 processes in a row died" in report.messages[-1].text
        # Others run as ever.
        healthy = json.dumps({"nodes": [start(), end()], "edges": [edge("start_0", "end_0")]})
        outcome = await stub.TaskRun(TaskRunRequest(schema=healthy, wait=True))
        assert outcome.status.status == Status.SUCCEEDED
        process.terminate()
        await line(process, "stopped")
