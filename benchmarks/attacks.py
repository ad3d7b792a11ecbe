"""One server beside hostile and large requests: what others notice of them, and what they cost in memory and on disk."""

import asyncio
import contextlib
import json
import math
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc

from benchmarks import workflows
from benchmarks.server import Server, free_port, running_server
from benchmarks.slow_peer import SlowPeer
from benchmarks.table import Row, at_most
from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.report_pb2 import STATUS_SUCCEEDED
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub

INFO: Final = 250.0
"""Milliseconds in which ServerInfo must be answered."""
HOLD: Final = 50.0
"""Milliseconds that the event loop may be held at most."""
RESIDENT: Final = 2000.0
"""Megabytes of the server's process."""
DISK: Final = 1200.0
"""Megabytes of the journal: the events that one task may have, written twice, and what there was before."""
SMALL_TASK: Final = 10.0
"""Seconds in which a small task must have ended."""
LIST_WATCHERS: Final = 3_000
RESTART: Final = 10.0
"""Seconds until a server that was killed serves again."""

_LONGEST: Final = 120.0
_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_Workflow = tuple[workflows.JSON, workflows.JSON]


class Victim:
    """A server under attack, another caller beside, and a client that attacks."""

    def __init__(
        self,
        server: Server,
        rest: int,
        data: Path,
        channel: grpc.aio.Channel,
        asker: asyncio.subprocess.Process,
    ) -> None:
        self.server = server
        self.rest = rest
        self.data = data
        self.stub: Any = WorkflowRuntimeServiceStub(channel)
        self._asker = asker

    async def run(self, workflow: _Workflow, *, wait: bool = True) -> Any:
        """Runs a task to its end, whatever that is, or until it has been accepted."""
        schema, inputs = (json.dumps(part) for part in workflow)
        request = service.TaskRunRequest(schema=schema, inputs=inputs, wait=wait)
        with contextlib.suppress(grpc.aio.AioRpcError):  # it may be refused: that is one way to stand it
            return await self.stub.TaskRun(request, timeout=_LONGEST)
        return None

    async def small_task(self, name: str, workflow: _Workflow) -> Row:
        """How long a small task of somebody else takes."""
        began = time.perf_counter()
        outcome = await self.run(workflow)
        seconds = time.perf_counter() - began
        if outcome is None or outcome.status.status != STATUS_SUCCEEDED:
            raise RuntimeError(f"{name}: a small task has not succeeded: {outcome}")
        return at_most(f"{name}: a small task", f"{seconds:.2f} s", "in all", seconds, SMALL_TASK)

    async def slowest_info(self) -> float:
        """The longest call of ServerInfo since the last time, in milliseconds."""
        assert self._asker.stdin is not None  # noqa: S101 - both were asked for
        assert self._asker.stdout is not None  # noqa: S101 - as above
        self._asker.stdin.write(b"\n")
        await self._asker.stdin.drain()
        return float(await self._asker.stdout.readline())

    def disk(self) -> float:
        """What the journal takes, in megabytes."""
        return sum(file.stat().st_size for file in self.data.iterdir()) / 1e6

    async def rows(self, name: str) -> list[Row]:
        """What others have noticed since the last time."""
        found, info, resident = await self.server.probe(), await self.slowest_info(), self.server.resident()
        wall = f"by the wall clock {found['late']:.0f} ms"
        return [
            at_most(f"{name}: slowest ServerInfo", f"{info:.0f} ms", wall, info, INFO),
            at_most(f"{name}: loop held", f"{found['held']:.0f} ms", wall, found["held"], HOLD),
            at_most(f"{name}: resident size", f"{resident:.0f} MB", "in all", resident, RESIDENT),
        ]


@asynccontextmanager
async def _victim(**environment: str) -> AsyncIterator[Victim]:
    rest = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"HTTP_LISTEN": f"127.0.0.1:{rest}", "ACCESS_LOG": "false", "DATA": folder, **environment}
        named = {f"FLOWGRAM_{name}": value for name, value in settings.items()}
        async with (
            running_server(probed=True, **named) as server,
            grpc.aio.insecure_channel(server.target, options=_OPTIONS) as channel,
        ):
            asker = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "benchmarks.asker", server.target),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                victim = Victim(server, rest, Path(folder), channel, asker)
                await victim.run(workflows.echo())
                await victim.rows("before")
                yield victim
            finally:
                asker.kill()
                await asker.wait()


async def heavy_nodes(victim: Victim) -> list[Row]:
    """Node runs that look through large values again and again."""
    rows: list[Row] = []
    for name, workflow in (
        ("3,000 lengths of a text beyond the BMP", workflows.lengths("\U0001f600" * 1_000_000, 3000)),
        ("1,500 searches in 8 MB", workflows.searches("a" * 8_000_000, 1500)),
        ("300 searches in an array of 500,000", workflows.memberships(500_000, 300)),
    ):
        await victim.run(workflow)
        rows += await victim.rows(name)
    return rows


async def hostile_schemas(victim: Victim) -> list[Row]:
    """Schemas and inputs that cost much to check."""
    collisions = json.dumps(workflows.enumerated([index * (2**61 - 1) for index in range(60_000)]))
    objects = "[" + ",".join(["{}"] * 4_000_000) + "]"
    members = "{" + ",".join(f'"{number}":1' for number in range(1_000_000)) + "}"
    rows: list[Row] = []
    for name, schema, inputs in (
        ("numbers of one hash", collisions, ""),
        ("12 MB of empty objects", json.dumps(workflows.echo()[0]), f'{{"x": {objects}}}'),
        ("12 MB that are no schema", objects, ""),
        ("an object of a million members", json.dumps(workflows.echo()[0]), f'{{"x": {members}}}'),
    ):
        with contextlib.suppress(grpc.aio.AioRpcError):
            await victim.stub.TaskValidate(
                service.TaskValidateRequest(schema=schema, inputs=inputs), timeout=_LONGEST
            )
        rows += await victim.rows(name)
    return rows


async def growing_task(victim: Victim) -> list[Row]:
    """A loop whose outputs grow without an end, and one that writes large events."""
    rows: list[Row] = []
    for name, workflow in (
        ("loop outputs of 20 MB each", workflows.collecting("a" * 1_000_000, 20, 10_000)),
        ("50,000 iterations over a large value", workflows.collecting("a" * 100_000, 1, 50_000)),
    ):
        await victim.run(workflow)
        rows += await victim.rows(name)
        disk = victim.disk()
        rows.append(at_most(f"{name}: journal", f"{disk:.0f} MB", "in all", disk, DISK))
    return rows


async def hostile_bodies(victim: Victim) -> list[Row]:
    """REST bodies that are large, deep, or never end."""
    rows: list[Row] = []
    deep = b"[" * 190 + b"1" * 4_000 + b"]" * 190
    for name, inputs in (
        ("a REST body of 16 MB of objects", b"[" + b",".join([b"{}"] * 5_000_000) + b"]"),
        ("a REST body of 16 MB of deep arrays", b"[" + b",".join([deep] * 3_600) + b"]"),
    ):
        body = b'{"schema": "{}", "inputs": {"x": ' + inputs + b"}}"
        reader, writer = await asyncio.open_connection("127.0.0.1", victim.rest)
        writer.write(_post(len(body)) + body)
        await writer.drain()
        await reader.readline()
        writer.close()
        rows += await victim.rows(name)
    endless = [await asyncio.open_connection("127.0.0.1", victim.rest) for _ in range(30)]

    async def send(writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(_post(60_000_000))
            for _ in range(60):
                writer.write(b'{"x":"' + b"a" * 1_000_000)
                await writer.drain()

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            await asyncio.gather(*(send(writer) for _, writer in endless))
    rows += await victim.rows("30 REST bodies that never end")
    for _, writer in endless:
        writer.close()
    return rows


def _post(length: int) -> bytes:
    head = "POST /api/task/run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n".encode()


async def large_report(victim: Victim) -> list[Row]:
    """The report of a task of 180,000 events, by REST and by gRPC."""
    ended = await victim.run(workflows.loop(60_000))
    await victim.rows("before")
    reader, writer = await asyncio.open_connection("127.0.0.1", victim.rest, limit=2**20)
    target = f"/api/task/report?taskID={ended.task_id}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    while await reader.read(2**20):
        pass
    writer.close()
    rows = await victim.rows("a REST report of 180,000 events")
    await victim.stub.TaskReport(service.TaskReportRequest(task_id=ended.task_id), timeout=_LONGEST)
    return rows + await victim.rows("a report of 180,000 events")


async def taken_slots(victim: Victim) -> list[Row]:
    """Calls and scripts that never end, beside small ones; and connections that say nothing."""
    async with SlowPeer() as stuck, SlowPeer(0) as quick:
        for _ in range(1_000):
            await victim.run(workflows.calling(stuck.url), wait=False)
        rows = [await victim.small_task("1,000 calls that hang", workflows.calling(quick.url))]
        for _ in range(20):
            await victim.run(workflows.script("function main() { while (true); }"), wait=False)
        rows.append(
            await victim.small_task(
                "20 scripts that never end", workflows.script("function main() { return {}; }")
            )
        )
        port = int(victim.server.target.rpartition(":")[2])
        silent = [
            await asyncio.open_connection("127.0.0.1", port)
            for port in (port, victim.rest)
            for _ in range(1_000)
        ]
        rows.append(await victim.small_task("2,000 silent connections", workflows.echo()))
        rows += await victim.rows("all of them")
        for _, writer in silent:
            writer.close()
        await stuck.release(math.inf)
    return rows


async def watched_lists(victim: Victim) -> list[Row]:
    """Thousands of watchers of task lists, all of which get every change."""

    async def read(call: Any) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.CancelledError):  # it is cancelled below
            while await call.read() is not grpc.aio.EOF:
                pass

    calls = [victim.stub.WatchTasks(service.WatchTasksRequest()) for _ in range(LIST_WATCHERS)]
    await asyncio.gather(*(call.read() for call in calls))  # from here on nothing is missed
    readers = [asyncio.create_task(read(call)) for call in calls]
    await victim.rows("before")
    for _ in range(200):
        await victim.run(workflows.echo())
    rows = await victim.rows(f"{LIST_WATCHERS:,} watchers of task lists")
    for call in calls:
        call.cancel()
    await asyncio.gather(*readers)
    return rows


async def poison() -> list[Row]:
    """A server that is killed while a task costs most, and comes back with it: three times, and then it is parked."""
    with tempfile.TemporaryDirectory() as folder:
        async with _victim(DATA=folder) as victim:
            await victim.run(workflows.memberships(500_000, 300), wait=False)
            await victim.run(workflows.collecting("a" * 1_000_000, 20, 10_000), wait=False)
            victim.server.process.send_signal(signal.SIGKILL)
        began = time.perf_counter()
        async with running_server(FLOWGRAM_DATA=folder):
            seconds = time.perf_counter() - began
    return [
        at_most("killed beside heavy tasks: restart", f"{seconds:.1f} s", "until it serves", seconds, RESTART)
    ]


_SCENARIOS: Final[Sequence[Callable[[Victim], Awaitable[list[Row]]]]] = (
    heavy_nodes,
    hostile_schemas,
    growing_task,
    hostile_bodies,
    large_report,
    taken_slots,
    watched_lists,
)


async def measure() -> list[Row]:
    """All of it, each kind on a server of its own."""
    rows: list[Row] = []
    for scenario in _SCENARIOS:
        async with _victim() as victim:
            rows += await scenario(victim)
    return [*rows, *await poison()]
