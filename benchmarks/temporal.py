"""The service on Temporal, against workflows without it on the same server in the same run.

What it is compared with are the plainest workflows of Temporal's own package, so that the ratios say what this project adds.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
from temporalio import activity, workflow
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client as TemporalClient
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from benchmarks import workflows
from benchmarks.server import Server, free_port, running_server
from benchmarks.service import Call, Client, in_flight, percentile, run_request
from benchmarks.slices import Slices
from benchmarks.slow_peer import SlowPeer
from benchmarks.table import Row, at_least, at_most
from flowgram.runtime.v1 import report_pb2, runtime_service_pb2

_BINARY = Path("build/temporal-dev").absolute()
_OPTIONS = [("grpc.max_receive_message_length", -1)]
_SLICES = 20
_SLICE_SECONDS = 1.5
"""Many short ones in turns: the speed of a shared machine changes within seconds."""
_CALLS = 20
_WATCHERS = 100
_FOLLOWED = 100
_QUEUE = "plain"
_ROUNDS = 5


@workflow.defn(name="plain.Empty", sandboxed=False)
class EmptyWorkflow:
    """Ends at once."""

    @workflow.run
    async def run(self) -> bytes:
        """Gives nothing."""
        return b""


@activity.defn(name="plain.nothing")
async def nothing(_: bytes) -> bytes:
    """Does nothing."""
    return b""


@workflow.defn(name="plain.OneActivity", sandboxed=False)
class OneActivityWorkflow:
    """Makes so many activities, one after the other."""

    @workflow.run
    async def run(self, count: int) -> bytes:
        """Gives nothing."""
        for _ in range(count):
            await workflow.execute_activity(
                nothing, b"", start_to_close_timeout=timedelta(seconds=60), result_type=bytes
            )
        return b""


async def _measure(measured: Slices, call: Call, processes: Sequence[psutil.Process]) -> None:
    """Keeps workflows in flight for a slice of time. The processor time is that of the cluster and all that use it."""
    before = _computed(processes)
    count, seconds = await in_flight(call, seconds=_SLICE_SECONDS)
    measured.add(count, seconds, _computed(processes) - before)


def _computed(processes: Sequence[psutil.Process]) -> float:
    """Seconds of processor time."""
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


async def _rates(client: Client, temporal: TemporalClient, processes: Sequence[psutil.Process]) -> list[Row]:
    """Tasks per second, each with the plain workflow that does as little; both in turns."""

    async def plain(name: str, *args: Any) -> None:
        workflow_id = uuid.uuid4().hex
        started = await temporal.start_workflow(
            name, args=args, id=workflow_id, task_queue=_QUEUE, request_eager_start=True
        )
        while True:
            try:
                await started.result()
            except (
                RPCError
            ) as error:  # a server with more to do than it can says so, and the service asks again
                if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
                    raise
            else:
                return

    async def ours(request: runtime_service_pb2.TaskRunRequest) -> None:
        answer = await client.run(request)
        if answer.status.status != report_pb2.STATUS_SUCCEEDED:
            raise RuntimeError("the workflow did not succeed")

    async with SlowPeer(delay=0.0) as peer:
        echo = run_request(workflows.echo(), wait=True)
        calling = run_request(workflows.calling(peer.url), wait=True)
        pairs = (
            ("start → end, per second", echo, lambda: plain("plain.Empty"), "an empty workflow", 0.9),
            (
                "one http call, per second",
                calling,
                lambda: plain("plain.OneActivity", 1),
                "one no-op activity",
                0.7,
            ),
        )
        rows = []
        for name, request, other, compared, goal in pairs:
            this, that = Slices(), Slices()
            turns = [(this, partial(ours, request)), (that, other)]
            for _, call in turns:
                await in_flight(call, seconds=_SLICE_SECONDS)
            for _ in range(_SLICES):
                for measured, call in turns:
                    await _measure(measured, call, processes)
                turns.reverse()  # what one leaves to do for the cluster is not always done beside the same one
            costs = f"by processor time {that.cost:.0f} ms / {this.cost:.0f} ms = {that.cost / this.cost:.2f}"
            text = f"{compared}: {that.rate:.1f}; {costs}"
            rows.append(at_least(name, f"{this.rate:.1f}", text, this.over(that), goal))
    return rows


async def _watch(client: Client, task_id: str) -> list[float]:
    """Milliseconds from each event's time to its arrival, of those that came once the watch was open."""
    delays, opened = [], 0.0
    async for response in client.service.WatchTask(runtime_service_pb2.WatchTaskRequest(task_id=task_id)):
        now = time.time()
        opened = opened or now
        times = [event.time.ToMicroseconds() / 1e6 for event in response.events]
        delays += [(now - at) * 1e3 for at in times[-1:] if at > opened]
    return delays


async def _poll(temporal: TemporalClient, workflow_id: str) -> list[float]:
    """The same of a plain workflow: from the time of a step to the arrival of what it asks for, by a long poll."""
    delays, opened, token = [], 0.0, b""
    began: dict[int, float] = {}
    while True:
        answer = await temporal.workflow_service.get_workflow_execution_history(
            GetWorkflowExecutionHistoryRequest(
                namespace=temporal.namespace,
                execution=WorkflowExecution(workflow_id=workflow_id),
                next_page_token=token,
                wait_new_event=True,
            )
        )
        now = time.time()
        opened = opened or now
        for event in answer.history.events:
            at = event.event_time.ToMicroseconds() / 1e6
            if event.HasField("workflow_task_started_event_attributes"):
                began[event.event_id] = at
            elif event.HasField("workflow_task_completed_event_attributes"):
                step = began[event.workflow_task_completed_event_attributes.started_event_id]
                if step > opened:
                    delays.append((now - step) * 1e3)
        token = answer.next_page_token
        if not token:
            return delays


async def _latencies(clients: list[Client], temporal: TemporalClient) -> list[Row]:
    """From a step to its arrival at a watcher, at one long poll, and at many watchers over two servers."""
    async with SlowPeer(delay=0.05) as peer:
        request = run_request(workflows.calling(peer.url, _CALLS), wait=False)
        one, plain, many = [], [], []
        for _ in range(_ROUNDS):
            one += await _watch(clients[0], (await clients[0].run(request)).task_id)
            workflow_id = uuid.uuid4().hex
            await temporal.start_workflow("plain.OneActivity", _CALLS, id=workflow_id, task_queue=_QUEUE)
            plain += await _poll(temporal, workflow_id)
            task_id = (await clients[0].run(request)).task_id
            watches = [_watch(clients[index % 2], task_id) for index in range(_WATCHERS)]
            many += [delay for delays in await asyncio.gather(*watches) for delay in delays]
    p99, plain99, many99 = (percentile(delays, 0.99) for delays in (one, plain, many))
    p50, plain50, many50 = (percentile(delays, 0.5) for delays in (one, plain, many))
    return [
        at_most(
            "step → watcher, p99", f"{p99:.0f} ms (p50 {p50:.0f})",
            f"a plain history by long poll: {plain99:.0f} ms ({plain50:.0f})", p99 / plain99, 2.5,
        ),
        at_most(
            f"step → {_WATCHERS} watchers over two servers, p99", f"{many99:.0f} ms (p50 {many50:.0f})",
            f"one watcher: {p99:.0f} ms", many99 / p99, 2,
        ),
    ]  # fmt: skip


async def _replay(client: Client) -> Row:
    """All events of a finished task of 10,000 events."""
    task_id = (await client.run(run_request(workflows.loop(3_400), wait=True))).task_id
    times, count = [], 0
    for _ in range(_ROUNDS):
        began, count = time.perf_counter(), 0
        async for response in client.service.WatchTask(runtime_service_pb2.WatchTaskRequest(task_id=task_id)):
            count += len(response.events)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    return at_most(
        f"watch of a finished task, {count:,} events", f"{seconds * 1e3:.0f} ms", "1 s", seconds, 1
    )


async def _memory(client: Client, server: Server) -> Row:
    """What a task that is followed takes in a server, by its resident size; a first round makes what is made once."""
    grown = 0.0
    for _ in range(2):
        async with SlowPeer() as peer:
            request = run_request(workflows.calling(peer.url), wait=False)
            tasks = [(await client.run(request)).task_id for _ in range(_FOLLOWED)]
            while peer.open < _FOLLOWED:
                peer.changed.clear()
                await peer.changed.wait()
            before = server.resident()
            watches = [
                client.service.WatchTask(runtime_service_pb2.WatchTaskRequest(task_id=task_id))
                for task_id in tasks
            ]
            for watch in watches:
                await watch.read()
            grown = server.resident() - before
            for watch in watches:
                watch.cancel()
            await peer.release(_FOLLOWED * 10)
    each = grown / _FOLLOWED
    return at_most(f"memory per followed task, of {_FOLLOWED}", f"{each:.3f} MB", "0.4 MB", each / 0.4, 1)


@asynccontextmanager
async def _cluster() -> AsyncIterator[tuple[str, psutil.Process]]:
    address = f"127.0.0.1:{free_port()}"
    attributes = ("FlowgramLabels=KeywordList", "FlowgramCreated=Datetime", "FlowgramNamespace=Keyword")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        # A pipe that nobody reads would stop it sooner or later, with the lock of a workflow in its hands.
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program, and it starts at once
            [_BINARY, "--port", address.rpartition(":")[2], "--db-filename", f"{folder}/temporal.sqlite3"]
            + [argument for name in attributes for argument in ("--search-attribute", name)],
            stdout=log,
            stderr=log,
        )
        try:
            while b"serving" not in os.pread(log.fileno(), 1 << 20, 0):
                if process.poll() is not None:
                    raise RuntimeError("the Temporal server does not start")
                await asyncio.sleep(0.05)
            yield address, psutil.Process(process.pid)
        finally:
            process.kill()  # what it holds is thrown away; to stop in order takes it long
            await asyncio.to_thread(process.wait)


async def measure() -> list[Row]:
    """All comparisons of the service on Temporal, with SQLite; one server is a worker as well."""
    async with AsyncExitStack() as stack:
        address, cluster = await stack.enter_async_context(_cluster())
        environment = {
            "FLOWGRAM_RUNTIME": "temporal",
            "FLOWGRAM_ACCESS_LOG": "false",
            "FLOWGRAM_TEMPORAL__ADDRESS": address,
            "FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS": json.dumps({"bench": "A" * 43 + "="}),
        }
        first = await stack.enter_async_context(running_server(**environment, FLOWGRAM_WITH_WORKER="true"))
        second = await stack.enter_async_context(running_server(**environment))
        clients = [
            Client(
                await stack.enter_async_context(grpc.aio.insecure_channel(server.target, options=_OPTIONS))
            )
            for server in (first, second)
        ]
        temporal = await TemporalClient.connect(address)
        await stack.enter_async_context(
            Worker(
                temporal,
                task_queue=_QUEUE,
                workflows=[EmptyWorkflow, OneActivityWorkflow],
                activities=[nothing],
                workflow_runner=UnsandboxedWorkflowRunner(),
            )
        )
        with contextlib.suppress(grpc.aio.AioRpcError):  # until its worker polls
            await clients[0].run(run_request(workflows.echo(), wait=True))
        rows = await _rates(clients[0], temporal, (cluster, first.process, psutil.Process()))
        rows += await _latencies(clients, temporal)
        rows.append(await _replay(clients[1]))
        rows.append(await _memory(clients[1], second))
        return rows
