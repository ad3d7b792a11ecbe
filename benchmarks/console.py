"""How long the console takes in a browser to show large tasks, from the request of its page on."""

import asyncio
import json
import shutil
import statistics
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks import workflows
from benchmarks.server import free_port, running_server
from benchmarks.service import run_request
from benchmarks.table import MeasurementUnavailable, Row, at_most
from flowgram.runtime.v1 import report_pb2
from flowgram.runtime.v1.runtime_service_pb2 import TaskGetRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.gateway.console import BUNDLE

NODES: Final = 300
ITERATIONS: Final = 16_665
"""Of a loop, with three node runs each; with those of start, loop and end."""
REPEAT: Final = 5
GOAL: Final = 3.0
"""Seconds."""

_LONGEST: Final = 600.0
"""Seconds that the browser gets for all of it."""
_FOLDER: Final = Path(__file__).parent
_PACKAGES: Final = _FOLDER.parent / "console" / "node_modules"


async def measure(repeat: int = REPEAT) -> list[Row]:
    """Opens both tasks by turns. Raises `MeasurementUnavailable`."""
    chromium = _browser()
    address = f"127.0.0.1:{free_port()}"
    async with (
        running_server(FLOWGRAM_HTTP_LISTEN=address) as server,
        grpc.aio.insecure_channel(server.target) as channel,
    ):
        stub = WorkflowRuntimeServiceStub(channel)
        nodes = await _run(stub, workflows.columns(NODES, 20))
        events = await _run(stub, workflows.loop(ITERATIONS))
        found = await stub.TaskGet(TaskGetRequest(task_id=events))
        times = await _open(
            {
                "chromium": chromium,
                "url": f"http://{address}",
                "repeat": repeat,
                "pages": [
                    {"task": nodes, "nodes": NODES},
                    {"task": events, "runs": 3 * ITERATIONS + 3},
                ],
            }
        )
    names = (f"a task of {NODES} nodes", f"a task of {found.task.last_sequence:,} events")
    return [_row(name, each) for name, each in zip(names, times, strict=True)]


def _browser() -> str:
    for tool in ("node", "chromium"):
        if shutil.which(tool) is None:
            raise MeasurementUnavailable(f"{tool} is not installed")
    if not (BUNDLE / "index.html").is_file() or not (_PACKAGES / "playwright-core").is_dir():
        raise MeasurementUnavailable("the console is not built: make console")
    return str(shutil.which("chromium"))


async def _run(stub: WorkflowRuntimeServiceStub, workflow: tuple[dict[str, Any], dict[str, Any]]) -> str:
    """The id of a task that has succeeded."""
    answer = await stub.TaskRun(run_request(workflow, wait=True))
    if answer.status.status != report_pb2.STATUS_SUCCEEDED:
        raise RuntimeError("the workflow did not succeed")
    task_id: str = answer.task_id
    return task_id


async def _open(order: dict[str, Any]) -> list[list[float]]:
    """The milliseconds that each page took, again and again. Raises `RuntimeError` where one does not come to be."""
    process = await asyncio.create_subprocess_exec(
        "node", str(_FOLDER / "console.mjs"), stdin=PIPE, stdout=PIPE
    )
    try:
        async with asyncio.timeout(_LONGEST):
            said, _ = await process.communicate(json.dumps(order).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError("the browser did not show all that was wanted")
    times: list[list[float]] = json.loads(said)
    return times


def _row(name: str, times: list[float]) -> Row:
    seconds = statistics.median(times) / 1e3
    slowest = max(times) / 1e3
    return at_most(
        f"opening {name}", f"{seconds:.2f} s, at most {slowest:.2f} s", f"{GOAL:g} s", seconds / GOAL, 1
    )
