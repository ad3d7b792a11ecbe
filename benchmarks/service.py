"""The service over the network: rates, latencies, memory. One server process, one client process."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks import workflows
from benchmarks.server import Server, running_server
from benchmarks.slow_peer import SlowPeer
from benchmarks.table import Row, at_least, at_most
from flowgram.runtime.v1 import report_pb2, runtime_service_pb2, runtime_service_pb2_grpc

IN_FLIGHT: Final = 32
SLICES: Final = 30
SLICE_SECONDS: Final = 0.5
"""Many short ones in turns: the speed of a shared machine changes within seconds."""

_OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]

Call = Callable[[], Awaitable[object]]


def run_request(
    workflow: tuple[dict[str, Any], dict[str, Any]], *, wait: bool
) -> runtime_service_pb2.TaskRunRequest:
    """The request that runs a workflow."""
    schema, inputs = workflow
    return runtime_service_pb2.TaskRunRequest(schema=json.dumps(schema), inputs=json.dumps(inputs), wait=wait)


async def in_flight(
    call: Call, *, seconds: float | None = None, count: int | None = None
) -> tuple[int, float]:
    """Keeps calls in flight for so long or so often: how many ended, and the seconds that it took."""
    began = time.perf_counter()
    done = 0

    def more() -> bool:
        return time.perf_counter() - began < seconds if seconds is not None else done < (count or 0)

    async def worker() -> None:
        nonlocal done
        while more():
            done += 1
            await call()

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return done, time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    """The value below which so large a share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


class Client:
    """The stubs of one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.service = runtime_service_pb2_grpc.WorkflowRuntimeServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    async def empty(self) -> None:
        """The emptiest unary call that the server answers."""
        await self._health.Check(health_pb2.HealthCheckRequest())

    async def run(self, request: runtime_service_pb2.TaskRunRequest) -> runtime_service_pb2.TaskRunResponse:
        """Runs a workflow."""
        return await self.service.TaskRun(request)


async def rate(client: Client) -> Row:
    """Start and end, waited for, against an empty call."""
    request = run_request(workflows.echo(), wait=True)

    async def task() -> None:
        answer = await client.run(request)
        if answer.status.status != report_pb2.STATUS_SUCCEEDED:
            raise RuntimeError("the workflow did not succeed")

    await in_flight(task, seconds=0.5)
    rates: dict[str, list[float]] = {"task": [], "empty": []}
    for _ in range(SLICES):
        for name, call in (("task", task), ("empty", client.empty)):
            count, seconds = await in_flight(call, seconds=SLICE_SECONDS)
            rates[name].append(count / seconds)
    ratios = [task / empty for task, empty in zip(rates["task"], rates["empty"], strict=True)]
    tasks, empty = statistics.median(rates["task"]), statistics.median(rates["empty"])
    return at_least(
        "TaskRun(wait) of start and end, 32 in flight",
        f"{tasks:.0f}/s",
        f"empty call {empty:.0f}/s",
        statistics.median(ratios),
        0.6,
    )


async def responsiveness(client: Client) -> Row:
    """ServerInfo while a task runs a loop of 100,000 iterations, against ServerInfo on the idle server."""

    async def once() -> float:
        began = time.perf_counter()
        await client.service.ServerInfo(runtime_service_pb2.ServerInfoRequest())
        return (time.perf_counter() - began) * 1e3

    idle = [await once() for _ in range(300)]
    task_id = (await client.run(run_request(workflows.loop(100_000), wait=False))).task_id
    busy: list[float] = []
    while True:
        busy += [await once() for _ in range(50)]
        result = await client.service.TaskResult(runtime_service_pb2.TaskResultRequest(task_id=task_id))
        if result.status.terminated:
            break
    slow, quick = percentile(busy, 0.99), percentile(idle, 0.99)
    return at_most(
        "ServerInfo p99 beside a loop of 100,000",
        f"{slow:.1f} ms ({len(busy)} calls)",
        f"idle {quick:.1f} ms",
        slow,
        25,
    )


async def latency(client: Client) -> list[Row]:
    """From an event's time to its arrival at a watcher who is there already, at 50 tasks per second."""
    delays: list[float] = []

    async def watched(live: runtime_service_pb2.TaskRunRequest) -> None:
        task_id = (await client.run(live)).task_id
        opened: float | None = None
        async for response in client.service.WatchTask(runtime_service_pb2.WatchTaskRequest(task_id=task_id)):
            now = time.time()
            opened = opened or now
            times = [event.time.ToMicroseconds() / 1e6 for event in response.events]
            delays.extend((now - at) * 1e3 for at in times[-1:] if at > opened)

    async with SlowPeer(delay=0.5) as peer:
        live = run_request(workflows.calling(peer.url), wait=False)
        tasks = []
        for _ in range(500):
            tasks.append(asyncio.create_task(watched(live)))
            await asyncio.sleep(1 / 50)
        await asyncio.gather(*tasks)
    if len(delays) < len(tasks):
        raise RuntimeError("not every watcher was there before the call ended")
    median, worst = percentile(delays, 0.5), percentile(delays, 0.99)
    return [
        at_most("watch: event to client, p50", f"{median:.2f} ms", "3 ms", median / 3, 1),
        at_most("watch: event to client, p99", f"{worst:.2f} ms", "15 ms", worst / 15, 1),
    ]


async def replay(client: Client) -> Row:
    """All events of a finished task of 10,000 events, against the empty call."""
    task_id = (await client.run(run_request(workflows.loop(3_400), wait=True))).task_id
    times = []
    count = 0
    for _ in range(5):
        began = time.perf_counter()
        count = 0
        async for response in client.service.WatchTask(runtime_service_pb2.WatchTaskRequest(task_id=task_id)):
            count += len(response.events)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    return at_most(
        f"watch of a finished task, {count:,} events", f"{seconds * 1e3:.0f} ms", "500 ms", seconds / 0.5, 1
    )


async def memory(client: Client, server: Server) -> Row:
    """Resident size after 20,000 finished tasks, against after 2,000."""
    request = run_request(workflows.echo(), wait=True)
    await in_flight(lambda: client.run(request), count=2_000)
    before = server.resident()
    await in_flight(lambda: client.run(request), count=18_000)
    after = server.resident()
    return at_most(
        "resident size after 20,000 tasks",
        f"{after:.1f} MB",
        f"after 2,000: {before:.1f} MB",
        after - before,
        20,
    )


async def measure() -> list[Row]:
    """All comparisons of the service."""
    rows: list[Row] = []
    async with (
        running_server() as server,
        grpc.aio.insecure_channel(server.target, options=_OPTIONS) as channel,
    ):
        client = Client(channel)
        rows.append(await memory(client, server))
        rows.append(await rate(client))
        rows += await latency(client)
        rows.append(await replay(client))
        rows.append(await responsiveness(client))
    return rows
