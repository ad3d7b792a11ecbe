"""The service and FlowGram's own runtime side by side: the same work, from the same load generator, in turns.

The reference engine runs behind a bare HTTP server (`reference_server.mjs`), in memory; the service keeps everything in
SQLite, as for users. The load generator is a program in Go (`loadgen/`), and is the upstream of http and llm nodes, too.
"""

import asyncio
import json
import shutil
import subprocess
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import workflows
from benchmarks.server import computed, running_server
from benchmarks.slices import Slices
from benchmarks.table import MeasurementUnavailable, Row, at_least, at_most, informative

IN_FLIGHT: Final = 32
BATCH_IN_FLIGHT: Final = 256
"""What the clients have as default."""
FEW_IN_FLIGHT: Final = 4
"""Of tasks that only compute, and for long: enough that no peer ever waits."""
ROUNDS: Final = 12
SLICE_SECONDS: Final = 0.4
"""Many short ones in turns: the speed of a shared machine changes within seconds."""
WATCH_SECONDS: Final = 8.0
WATCHED_PER_SECOND: Final = 50

_FOLDER: Final = Path(__file__).parent
_BINARY: Final = _FOLDER.parent / "build" / "loadgen"
_LONGEST_LINE: Final = 2**24

_Goals = dict[str, float | None]


@dataclass(frozen=True, slots=True)
class _Line:
    """One kind of task, with the goal of each mode: its rate in terms of the reference engine's."""

    name: str
    workflow: Callable[[str], tuple[dict[str, Any], dict[str, Any]]]
    goals: _Goals
    in_flight: int = IN_FLIGHT


_LINES: Final = (
    _Line("start→end", lambda _: workflows.echo(), {"task": None, "batch": 1.2}),
    _Line("one http call", workflows.calling, {"task": 1.2, "batch": 2}),
    _Line("one llm call", workflows.asking, {"task": 1.5, "batch": 2}),
    _Line("one code node", lambda _: workflows.doubling(), {"task": 1.0, "batch": 1.3}),
    _Line("chain of 100 conditions", lambda _: workflows.chain(100), {"task": 4}, FEW_IN_FLIGHT),
    _Line("loop of 1,000 items", lambda _: workflows.loop(1_000), {"task": 2.5}, FEW_IN_FLIGHT),
    _Line("500 conditions in layers", lambda _: workflows.layers(500, 10), {"task": 8}, FEW_IN_FLIGHT),
)
_NAMES: Final = {"task": "TaskRun", "batch": "TaskRunBatch"}


@dataclass(frozen=True, slots=True)
class _Peers:
    """All three processes."""

    loadgen: Process
    upstream: str
    service: psutil.Process
    reference: psutil.Process

    async def order(self, **order: Any) -> dict[str, Any]:
        """Has the load generator do something. Raises `RuntimeError` where a call or a task has failed."""
        assert self.loadgen.stdin is not None  # noqa: S101 - it was asked for
        assert self.loadgen.stdout is not None  # noqa: S101 - it was asked for
        self.loadgen.stdin.write(json.dumps(order).encode() + b"\n")
        line = await self.loadgen.stdout.readline()
        outcome: dict[str, Any] = json.loads(line or b'{"error": "the load generator has ended"}')
        if "error" in outcome:
            raise RuntimeError(f"{order['mode']}: {outcome['error']}")
        return outcome

    async def measure(self, measured: Slices, mode: str, workflow: tuple[Any, Any], in_flight: int) -> None:
        """Runs a workflow for a slice of time."""
        schema, inputs = workflow
        process = self.reference if mode == "reference" else self.service
        before = computed(process)
        outcome = await self.order(
            mode=mode,
            schema=schema,
            inputs=inputs,
            seconds=SLICE_SECONDS,
            in_flight=BATCH_IN_FLIGHT if mode == "batch" else in_flight,
        )
        measured.add(outcome["done"], outcome["seconds"], computed(process) - before)


async def _in_turns(
    peers: _Peers, modes: tuple[str, ...], workflow: tuple[Any, Any], in_flight: int, rounds: int
) -> dict[str, Slices]:
    measured = {mode: Slices() for mode in modes}
    for mode in modes:
        await peers.measure(Slices(), mode, workflow, in_flight)
    for _ in range(rounds):
        for mode in modes:
            await peers.measure(measured[mode], mode, workflow, in_flight)
    return measured


async def _compare(peers: _Peers, line: _Line, rounds: int) -> list[Row]:
    workflow = line.workflow(peers.upstream)
    found = await _in_turns(peers, ("reference", *line.goals), workflow, line.in_flight, rounds)
    reference = found["reference"]
    return [
        _row(f"{line.name}: {_NAMES[mode]}", found[mode], "reference", reference, goal)
        for mode, goal in line.goals.items()
    ]


async def _compare_with_an_empty_call(peers: _Peers, rounds: int) -> list[Row]:
    found = await _in_turns(peers, ("empty", "task", "batch"), workflows.echo(), IN_FLIGHT, rounds)
    return [
        _row("start→end: TaskRun", found["task"], "empty call", found["empty"], 0.9),
        _row("start→end: TaskRunBatch", found["batch"], "TaskRun", found["task"], 3),
    ]


def _row(name: str, this: Slices, other_name: str, other: Slices, goal: float | None) -> Row:
    ratio = this.over(other)
    compared = f"{other_name} {other}; by processor time {other.cost / this.cost:.2f}"
    if goal is None:
        return informative(name, str(this), compared, ratio)
    return at_least(name, str(this), compared, ratio, goal)


async def _watch(peers: _Peers) -> list[Row]:
    schema, inputs = workflows.calling(f"{peers.upstream}/slow")
    outcome = await peers.order(
        mode="watch",
        schema=schema,
        inputs=inputs,
        seconds=WATCH_SECONDS,
        per_second=WATCHED_PER_SECOND,
    )
    delays = sorted(outcome["delays"])
    rows = []
    for name, share, goal in (("p50", 0.5, 2.0), ("p99", 0.99, 10.0)):
        delay = delays[min(len(delays) - 1, int(share * len(delays)))]
        rows.append(
            at_most(f"watch: event to client, {name}", f"{delay:.2f} ms", f"{goal:g} ms", delay / goal, 1)
        )
    return rows


async def measure(rounds: int = ROUNDS) -> list[Row]:
    """All comparisons. Raises `MeasurementUnavailable`."""
    await asyncio.to_thread(_build)
    rows: list[Row] = []
    async with _running() as peers:
        for line in _LINES:
            rows += await _compare(peers, line, rounds)
        rows += await _compare_with_an_empty_call(peers, rounds)
        rows += await _watch(peers)
    return rows


def _build() -> None:
    for tool in ("go", "node"):
        if shutil.which(tool) is None:
            raise MeasurementUnavailable(f"{tool} is not installed")
    done = subprocess.run(  # noqa: S603 - nothing of it comes from outside
        ["go", "build", "-o", str(_BINARY), "."],  # noqa: S607 - found above
        cwd=_FOLDER / "loadgen",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MeasurementUnavailable(f"the load generator cannot be built: {done.stderr}")


@asynccontextmanager
async def _running() -> AsyncIterator[_Peers]:
    async with (
        running_server() as server,
        _program("node", str(_FOLDER / "reference_server.mjs")) as (reference, url),
        _program(str(_BINARY), "-grpc", server.target, "-reference", url) as (loadgen, upstream),
    ):
        yield _Peers(loadgen, upstream, server.process, psutil.Process(reference.pid))


@asynccontextmanager
async def _program(*command: str) -> AsyncIterator[tuple[Process, str]]:
    """A program, and the first line of its output. It is ended on leaving."""
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE)
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        line = await process.stdout.readline()
        if not line:
            raise MeasurementUnavailable(
                f"{command[0]} has not started: are the packages of tests/conformance there?"
            )
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
