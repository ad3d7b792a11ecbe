"""The core in process, against the reference engine in process: alone, and with events encoded and journaled."""

import asyncio
import json
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from benchmarks import workflows
from benchmarks.table import Row, at_least, at_most
from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.embedded.application import Application
from flowgram_core.engine.activations import Start
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.program import link
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling.compiler import compile_schema
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.registry import Registry, pure_node_types
from flowgram_server.app import loop_factory
from flowgram_server.rpc.codec import Codec

REPEAT: Final = 15
BUDGET: Final = RuntimeSettings().step_budget

CASES: Final = {
    # name: workflow, goal of the core alone, goal with events encoded and journaled
    "chain of 100 conditions": (workflows.chain(100), 5.0, 2.0),
    "fan of 200 conditions": (workflows.fan(200), 3.0, 1.5),
    "loop of 1,000 items with a condition": (workflows.loop(1000), 2.0, 1.0),
    "500 conditions in layers": (workflows.layers(500, 20), 20.0, 8.0),
}

_HERE = Path(__file__).parent


def reference() -> dict[str, float] | None:
    """Milliseconds per run in the reference engine, by case; None without node or the package."""
    node = shutil.which("node")
    if node is None:
        return None
    cases = [
        {"name": name, "schema": schema, "inputs": inputs, "repeat": REPEAT}
        for name, ((schema, inputs), _, _) in CASES.items()
    ]
    done = subprocess.run(  # noqa: S603 - our own program
        [node, str(_HERE / "reference.mjs")],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"The reference engine cannot be measured: {done.stderr.strip()[-300:]}")  # noqa: T201
        return None
    return {str(found["name"]): float(found["median_ms"]) for found in json.loads(done.stdout)}


def prepared(schema: dict[str, Any], inputs: dict[str, Any]) -> Callable[[], None]:
    """A run of the core, to be repeated: compiled before, nothing encoded, nothing kept."""
    program = link(compile_schema(json.dumps(schema)), Registry(pure_node_types()).node_types)

    def once() -> None:
        execution = Execution(program, inputs)
        execution.apply(Start(1))
        while execution.has_work:
            execution.advance(BUDGET)
            execution.take()
        if execution.status is not Status.SUCCEEDED:
            raise RuntimeError("the workflow did not succeed")

    return once


def seconds_of(once: Callable[[], None]) -> float:
    """How long one run takes."""
    began = time.perf_counter()
    once()
    return time.perf_counter() - began


def core_alone(schema: dict[str, Any], inputs: dict[str, Any]) -> float:
    """Milliseconds per run of the core."""
    once = prepared(schema, inputs)
    return statistics.median(seconds_of(once) for _ in range(REPEAT)) * 1e3


def growth() -> Row:
    """A chain of 800 against a chain of 100, in turns, so that both meet the same machine."""
    short, long = prepared(*workflows.chain(100)), prepared(*workflows.chain(800))
    times = [(seconds_of(short), seconds_of(long)) for _ in range(5 * REPEAT)]
    short_ms, long_ms = (statistics.median(values) * 1e3 for values in zip(*times, strict=True))
    return at_most(
        "chain of 800 conditions",
        f"{long_ms:.2f} ms",
        f"chain of 100: {short_ms:.2f} ms",
        long_ms / short_ms,
        8.5,
    )


async def journaled(schema: dict[str, Any], inputs: dict[str, Any]) -> float:
    """Milliseconds per run with everything but the network: accepted, encoded, committed to SQLite."""
    request = TaskRequest(json.dumps(schema), json.dumps(inputs))
    with tempfile.TemporaryDirectory() as folder:
        journal = await SQLiteJournal.open(Path(folder) / "journal.db")
        application = Application(
            journal=journal,
            codec=Codec(Secrets()),
            registry=Registry(pure_node_types()),
            settings=RuntimeSettings(),
            clock=SystemClock(),
            new_task_id=lambda: uuid.uuid4().hex,
        )
        try:
            async with application.opened():
                return await _median(lambda: _run(application, request))
        finally:
            await journal.close()


async def _run(application: Application, request: TaskRequest) -> None:
    record = await application.run(request)
    record = await application.wait(record.task_id)
    if record.status != Status.SUCCEEDED:
        raise RuntimeError("the workflow did not succeed")


async def _median(once: Callable[[], Awaitable[None]]) -> float:
    times = []
    for _ in range(REPEAT):
        began = time.perf_counter()
        await once()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def measure() -> list[Row]:
    """All comparisons of the core."""
    others = reference()
    rows: list[Row] = []
    for name, ((schema, inputs), goal, journaled_goal) in CASES.items():
        alone = core_alone(schema, inputs)
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            kept = runner.run(journaled(schema, inputs))
        if others is not None:
            other = others[name]
            rows.append(
                at_least(
                    f"{name}: core alone", f"{alone:.2f} ms", f"reference {other:.2f} ms", other / alone, goal
                )
            )
            rows.append(
                at_least(
                    f"{name}: journaled",
                    f"{kept:.2f} ms",
                    f"reference {other:.2f} ms",
                    other / kept,
                    journaled_goal,
                )
            )
    rows.append(growth())
    return rows
