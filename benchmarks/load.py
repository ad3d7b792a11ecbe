"""The server under more than it is used to: memory per waiting task and per watch, and how long its event loop is held."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import httpx2

from benchmarks import workflows
from benchmarks.server import Server, free_port, running_server
from benchmarks.slow_peer import SlowPeer
from benchmarks.table import Row, at_most
from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.report_pb2 import STATUS_SUCCEEDED
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.nodes.node_settings import HTTPSettings
from flowgram_server.descriptors import connection_shares, raise_limit

TASKS: Final = 10_000
WATCHES: Final = 2_000
LARGE_TASKS: Final = 200
UNREAD: Final = 20
EVENTS: Final = 50_000
DROP_SECONDS: Final = 10.0
IN_FLIGHT: Final = 64

EACH: Final = 60.0
"""Kilobytes that a waiting task, or a watch, may take at most."""
WAITING_EACH: Final = 30.0
"""The same of one whose call is open, on a server that has done nothing else."""
ENDS_PER_SECOND: Final = 1_000
INSTANTLY: Final = 1e9

HOLD: Final = 50.0
"""Milliseconds that the event loop may be held at most."""

RESTART: Final = 30.0
"""Seconds that a restart may take."""

_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_ALL_CALLS: Final = {"FLOWGRAM_HTTP__MAX_PARALLEL": str(TASKS)}


class Load:
    """One server, and one client of it."""

    def __init__(self, server: Server, rest: str, channel: grpc.aio.Channel, peer: SlowPeer) -> None:
        self.server = server
        self.rest = rest
        self.peer = peer
        self.stub: Any = WorkflowRuntimeServiceStub(channel)

    async def start(self, workflow: tuple[workflows.JSON, workflows.JSON], count: int) -> list[str]:
        """Starts so many tasks, some at once; their ids."""
        schema, inputs = workflow
        request = service.TaskRunRequest(schema=json.dumps(schema), inputs=json.dumps(inputs))
        left = iter(range(count))
        ids: list[str] = []

        async def worker() -> None:
            ids.extend([(await self.stub.TaskRun(request)).task_id for _ in left])

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return ids

    async def wait(self, ids: Iterable[str]) -> None:
        """Returns once these tasks have succeeded."""
        left = iter(ids)

        async def worker() -> None:
            for task_id in left:
                result = await self.stub.TaskResult(service.TaskResultRequest(task_id=task_id, wait=True))
                if result.status.status != STATUS_SUCCEEDED:
                    raise RuntimeError(f"a task has not succeeded: {result}")

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    async def watch(self, task_id: str, opened: "Count") -> int:
        """Watches a task to its end, and says how many events there were. Raises where one is missing."""
        stream = self.stub.WatchTask(service.WatchTaskRequest(task_id=task_id))
        return await _events(stream, opened.add)

    async def held(self, name: str) -> Row:
        """How long the loop was held since the last time."""
        found = await self.server.probe()
        other = f"by the wall clock {found['late']:.0f} ms, collection {found['collected']:.0f} ms"
        return at_most(f"{name}: loop held", f"{found['held']:.0f} ms", other, found["held"], HOLD)


class Count:
    """Counts up, and tells when it is there."""

    def __init__(self, goal: int) -> None:
        self.reached = asyncio.Event()
        self._left = goal

    def add(self) -> None:
        """One more."""
        self._left -= 1
        if not self._left:
            self.reached.set()


@asynccontextmanager
async def _loaded(**environment: str) -> AsyncIterator[Load]:
    rest = f"127.0.0.1:{free_port()}"
    environment = {"FLOWGRAM_HTTP_LISTEN": rest, "FLOWGRAM_ACCESS_LOG": "false", **environment}
    async with (
        SlowPeer() as peer,
        running_server(probed=True, **environment) as server,
        grpc.aio.insecure_channel(server.target, options=_OPTIONS) as channel,
    ):
        load = Load(server, rest, channel, peer)
        await load.wait(await load.start(workflows.echo(), 500))
        await server.probe()
        yield load


async def queued_tasks(load: Load) -> list[Row]:
    """Tasks that wait on calls, with the settings' defaults: some calls are open, the others wait for theirs."""
    before = load.server.resident()
    ids = await load.start(workflows.calling(load.peer.url), TASKS)
    await load.peer.waiting(HTTPSettings().max_parallel)
    after = load.server.resident()
    rows = [
        _memory(f"{TASKS:,} tasks, {HTTPSettings().max_parallel} of them in calls", after, before, TASKS),
        await load.held("starting them"),
    ]
    load.peer.released.set()
    await asyncio.gather(load.peer.release(ENDS_PER_SECOND), load.wait(ids))
    return [*rows, await load.held("their calls are answered at once, one after the other")]


async def waiting_tasks(load: Load) -> list[Row]:
    """Tasks that all wait on calls which are open, watches of them, and then the calls end."""
    before = load.server.resident()
    began = time.perf_counter()
    ids = await load.start(workflows.calling(load.peer.url), TASKS)
    await load.peer.waiting(TASKS)
    seconds = time.perf_counter() - began
    after = load.server.resident()
    rows = [
        _memory(f"{TASKS:,} tasks, all of them in calls", after, before, TASKS),
        await load.held(f"starting them in {seconds:.0f} s"),
    ]
    opened = Count(WATCHES)
    watches = [asyncio.create_task(load.watch(task_id, opened)) for task_id in ids[:WATCHES]]
    await opened.reached.wait()
    rows.append(_memory(f"{WATCHES:,} watches", load.server.resident(), after, WATCHES))
    rows.append(await load.held("opening them all at once"))
    load.peer.released.set()
    await asyncio.gather(load.peer.release(ENDS_PER_SECOND), load.wait(ids))
    counts = set(await asyncio.gather(*watches))
    if len(counts) != 1:
        raise RuntimeError(f"watches of equal tasks saw different numbers of events: {counts}")
    rows.append(await load.held(f"ending {ENDS_PER_SECOND:,} tasks per second"))
    ended = load.server.resident()
    rows.append(
        at_most(
            "resident size after they have ended",
            f"{ended:.0f} MB",
            f"with them {after:.0f} MB",
            ended / after,
            1,
        )
    )
    return rows


def _memory(name: str, after: float, before: float, count: int) -> Row:
    """Memory per task or watch, from the resident sizes in megabytes."""
    each = (after - before) / count * 1e3
    return at_most(f"{name}: memory of each", f"{each:.1f} kB", f"in all {after:.0f} MB", each, EACH)


async def answered_at_once(load: Load) -> list[Row]:
    """Tasks that all wait on calls which are open, and whose answers all come in one instant."""
    load.peer.released.clear()
    before = load.server.resident()
    ids = await load.start(workflows.calling(load.peer.url), TASKS)
    await load.peer.waiting(TASKS)
    after = load.server.resident()
    await load.server.probe()
    load.peer.released.set()
    await asyncio.gather(load.peer.release(INSTANTLY), load.wait(ids))
    name = f"{TASKS:,} tasks in calls"
    memory = _memory(name, after, before, TASKS)
    return [
        at_most(memory.name, memory.this, memory.other, memory.ratio, WAITING_EACH),
        await load.held(f"{name} that are all answered at once"),
    ]


async def crowded_task(load: Load) -> list[Row]:
    """Many watches of one task while its calls end one after the other."""
    load.peer.released.clear()
    (task_id,) = await load.start(workflows.calling(load.peer.url, 50), 1)
    opened = Count(WATCHES)
    watches = [asyncio.create_task(load.watch(task_id, opened)) for _ in range(WATCHES)]
    await opened.reached.wait()
    await load.held("opening")
    load.peer.released.set()
    await load.peer.release(INSTANTLY)
    await asyncio.gather(*watches)
    return [await load.held(f"{WATCHES:,} watches of one task")]


async def long_task(load: Load) -> list[Row]:
    """A task of many events, one watch that reads them, and watches that never read."""
    before = load.server.resident()
    (task_id,) = await load.start(workflows.loop(EVENTS // 3), 1)
    idle = [load.stub.WatchTask(service.WatchTaskRequest(task_id=task_id)) for _ in range(UNREAD)]
    count = await load.watch(task_id, Count(1))
    after = load.server.resident()
    rows = [
        at_most(
            f"a task of {count:,} events, {UNREAD} watches that never read: memory",
            f"{after - before:.0f} MB",
            f"in all {after:.0f} MB",
            after - before,
            150,
        ),
        await load.held("running it"),
    ]
    if {await _events(stream) for stream in idle} != {count}:
        raise RuntimeError("a watch that was late has not seen all events")
    rows.append(await load.held("reading those watches to their ends"))
    await load.stub.TaskReport(service.TaskReportRequest(task_id=task_id))
    rows.append(await load.held("reporting it"))
    async with httpx2.AsyncClient(base_url=f"http://{load.rest}", timeout=60) as client:
        answer = await client.get("/api/task/report", params={"taskID": task_id})
    if answer.json()["workflowStatus"]["status"] != "succeeded":
        raise RuntimeError("the report over HTTP is not that of the task")
    rows.append(await load.held("reporting it over HTTP"))
    return rows


async def _events(stream: Any, begun: Callable[[], None] = lambda: None) -> int:
    """How many events a watch shows, called when the first ones have come. Raises where one is missing."""
    sequence = 0
    async for response in stream:
        if not sequence:
            begun()
        for event in response.events:
            if event.sequence != sequence + 1:
                raise RuntimeError(f"event {event.sequence} follows event {sequence}")
            sequence += 1
    return sequence


async def dropped_watches(load: Load) -> list[Row]:
    """A client that opens watches and drops them as fast as it can, beside one that asks something small."""
    load.peer.released.clear()
    (task_id,) = await load.start(workflows.calling(load.peer.url), 1)
    before = load.server.resident()
    until = time.perf_counter() + DROP_SECONDS
    dropped = 0
    slowest = 0.0

    async def drop() -> None:
        nonlocal dropped
        while time.perf_counter() < until:
            stream = load.stub.WatchTask(service.WatchTaskRequest(task_id=task_id))
            if dropped % 2:
                await stream.read()
            else:
                await asyncio.sleep(0)
            stream.cancel()
            dropped += 1

    async def ask() -> None:
        nonlocal slowest
        while time.perf_counter() < until:
            began = time.perf_counter()
            await load.stub.ServerInfo(service.ServerInfoRequest())
            slowest = max(slowest, time.perf_counter() - began)
            await asyncio.sleep(0.01)

    await asyncio.gather(ask(), *(drop() for _ in range(16)))
    after = load.server.resident()
    load.peer.released.set()
    await load.peer.release(INSTANTLY)
    await load.wait([task_id])
    return [
        at_most(
            f"{dropped:,} watches opened and dropped in {DROP_SECONDS:.0f} s: memory",
            f"{after - before:.1f} MB",
            f"slowest ServerInfo beside it {slowest * 1e3:.0f} ms",
            after - before,
            20,
        ),
        await load.held("meanwhile"),
    ]


async def large_inputs(load: Load) -> list[Row]:
    """Tasks with inputs of a megabyte that wait on calls."""
    load.peer.released.clear()
    schema, _ = workflows.calling(load.peer.url)
    before = load.server.resident()
    ids = await load.start((schema, {"x": "x" * 1_000_000}), LARGE_TASKS)
    await load.peer.waiting(LARGE_TASKS)
    after = load.server.resident()
    rows = [
        at_most(
            f"{LARGE_TASKS} waiting tasks with inputs of 1 MB: memory of each",
            f"{(after - before) / LARGE_TASKS:.2f} MB",
            f"in all {after:.0f} MB",
            (after - before) / LARGE_TASKS,
            4,
        ),
        await load.held("starting them"),
    ]
    load.peer.released.set()
    await load.peer.release(INSTANTLY)
    await load.wait(ids)
    rows.append(await load.held("ending them all at once"))
    return rows


async def restarted() -> list[Row]:
    """A server that starts with tasks that wait on calls, which a former one has left."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"FLOWGRAM_DATA": folder, "FLOWGRAM_SHUTDOWN_GRACE": "0"}
        async with _loaded(**environment) as load:
            await load.start(workflows.calling(load.peer.url), TASKS)
        load.peer.released.set()
        await load.peer.release(INSTANTLY)
        began = time.perf_counter()
        async with running_server(**environment):
            seconds = time.perf_counter() - began
    return [at_most(f"restart with {TASKS:,} tasks", f"{seconds:.1f} s", "until it serves", seconds, RESTART)]


async def measure() -> list[Row]:
    """All of it, on one server after the other. Raises `RuntimeError` where a process may not have so many open files."""
    # Both sides of all calls: the server inherits the limit.
    if connection_shares(raise_limit(), http_calls=TASKS).http_calls < TASKS:
        raise RuntimeError(f"{TASKS:,} open calls need a higher limit of open files (ulimit -n)")
    rows: list[Row] = []
    for environment, scenarios in (
        ({}, (queued_tasks,)),
        (_ALL_CALLS, (waiting_tasks, crowded_task)),
        (_ALL_CALLS, (answered_at_once,)),
        ({}, (long_task,)),
        ({}, (dropped_watches,)),
        ({}, (large_inputs,)),
    ):
        async with _loaded(**environment) as load:
            for scenario in scenarios:
                rows += await scenario(load)
    return [*rows, *await restarted()]
