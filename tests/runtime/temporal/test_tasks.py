"""Tasks on a Temporal cluster, seen by any number of servers."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from typing import Any

from support.applications import call_schema, echo_schema, reached
from support.fakes import ScriptedCalls
from support.graphs import constant, declare, edge, end, node, ref, start
from support.temporal_host import events_of, temporal_host, texts
from support.temporal_server import TemporalServer

from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.code.node import CodeNode
from flowgram_core.temporal.connection import connect
from flowgram_core.temporal.payload_codec import data_converter


def loop_schema(*block: str, node_type: str = "code") -> str:
    """A loop over `items` whose block is a chain of such nodes."""
    inner = [
        node("bs", "block-start"),
        *(node(name, node_type, {"outputs": declare(v="string")}) for name in block),
        node("be", "block-end"),
    ]
    ids = [found["id"] for found in inner]
    loop = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items")},
        blocks=inner,
        edges=[edge(source, target) for source, target in pairwise(ids)],
    )
    nodes = [start(items={"type": "array", "items": {"type": "integer"}}), loop, end()]
    return json.dumps({"nodes": nodes, "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]})


class Answering(ScriptedCalls):
    """Calls that are answered at once."""

    async def execute(self, call: Any, context: Any) -> dict[str, Any]:
        self.made.append(call.key)
        return {"v": f"of {call.key}"}


async def test_of_many_cancels_one_did_it(cluster: TemporalServer) -> None:
    """Cancels race over two servers: one says that it did, and the task is canceled with its reason."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls, heartbeat_timeout=1.0) as host, host.worker():
        fronts = [host.front(), host.front()]
        task = await fronts[0].run(TaskRequest(call_schema("a")))
        await calls.running("a")
        did = await asyncio.gather(
            *(fronts[index % 2].cancel(task.task_id, f"reason {index}") for index in range(6))
        )
        assert sorted(did) == [False] * 5 + [True]
        events = await events_of(fronts[1], task.task_id)
        assert texts(events) == [f"reason {did.index(True)}"]
        assert events[-1].task_status_changed.status.status == Status.CANCELED
        await calls.stopped("a")
        assert not await fronts[1].cancel(task.task_id, "late")


async def test_a_cancel_before_any_worker(cluster: TemporalServer) -> None:
    """A task that no worker has begun with is canceled as soon as one is there; until then it is pending, and readable."""
    async with temporal_host(cluster.address) as host:
        front = host.front()
        task = await front.run(TaskRequest(echo_schema(), '{"x": 1}', labels={"team": "blue"}))
        found = await front.task(task.task_id)
        assert (found.status, found.inputs, found.last_sequence) == (Status.PENDING, '{"x": 1}', 0)
        assert await front.schema(task.task_id) == echo_schema()
        canceling = asyncio.create_task(front.cancel(task.task_id, "not wanted"))
        handle = host.client.get_workflow_handle(task.task_id)
        while (await handle.describe()).history_length < 3:  # noqa: ASYNC110 - until the cluster has the request
            await asyncio.sleep(0.05)
        async with host.worker():
            assert await canceling
            events = await events_of(host.front(), task.task_id)
        assert events[-1].task_status_changed.status.status == Status.CANCELED
        ended = await front.wait(task.task_id)
        assert (ended.status, ended.last_sequence) == (Status.CANCELED, events[-1].sequence)


async def test_reads_need_no_worker(cluster: TemporalServer) -> None:
    """With all workers stopped, everything that is durable can be read, and a watch goes on when one is back."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host:
        front = host.front()
        async with host.worker():
            task = await front.run(TaskRequest(call_schema("a"), labels={"reads": "on"}))
            await calls.running("a")
        found = await front.task(task.task_id)
        assert found.status == Status.PROCESSING
        logged = [batch async for batch in front.log(task.task_id)]
        assert logged[-1].last_sequence == found.last_sequence
        watching = asyncio.create_task(events_of(host.front(), task.task_id))
        calls.made.clear()
        async with host.worker():
            await calls.running("a")
            calls.answer("a", {"v": "again"})
            events = await watching
        assert calls.made == ["a"]
        assert events[-1].task_status_changed.status.status == Status.SUCCEEDED


async def test_a_time_out_ends_a_task(cluster: TemporalServer) -> None:
    """A task that runs for too long fails with the message of every host."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(call_schema("a"), timeout=300_000))
        ended = await front.wait(task.task_id)
        assert ended.status == Status.FAILED
        assert texts(await events_of(front, task.task_id)) == ["Task timed out after 0.3 s"]


async def test_three_hundred_calls_at_once(cluster: TemporalServer) -> None:
    """Calls side by side, far more than a workflow task has room for, all run, and none is made twice."""
    calls = Answering()
    names = [f"n{index}" for index in range(300)]
    async with temporal_host(cluster.address, calls, max_calls=400) as host, host.worker():
        front = host.front()
        schema = json.loads(call_schema(*names))
        for found in schema["nodes"][1:-1]:
            found["data"]["inputsValues"]["apiKey"] = constant("k" * 20_000)
        task = await front.run(TaskRequest(json.dumps(_shared_key(schema)), "{}"))
        ended = await front.wait(task.task_id)
        assert ended.status == Status.SUCCEEDED
        assert sorted(calls.made) == sorted(names)
        await events_of(front, task.task_id)


def _shared_key(schema: dict[str, Any]) -> dict[str, Any]:
    """The same with one long text, which the start node declares as a default, as an input of every call."""
    key = schema["nodes"][1]["data"]["inputsValues"]["apiKey"]["content"]
    schema["nodes"][0]["data"]["outputs"]["properties"]["key"] = {"type": "string", "default": key}
    for found in schema["nodes"][1:-1]:
        found["data"]["inputsValues"]["apiKey"] = ref("start_0", "key")
    return schema


async def test_outputs_beyond_the_limit(cluster: TemporalServer) -> None:
    """A call that gives more than a history takes fails with the limit's name, and its task ends."""

    class Huge(Answering):
        async def execute(self, call: Any, context: Any) -> dict[str, Any]:
            return {"v": "x" * 2_500_000}

    async with temporal_host(cluster.address, Huge()) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(call_schema("a")))
        assert (await front.wait(task.task_id)).status == Status.FAILED
        assert texts(await events_of(front, task.task_id)) == [
            "Node outputs are larger than the limit max_output_bytes = 393216"
        ]


async def test_outputs_as_large_as_they_may_be(cluster: TemporalServer) -> None:
    """Several of them in one task, up to its own outputs."""

    class Large(Answering):
        async def execute(self, call: Any, context: Any) -> dict[str, Any]:
            return {"v": "\u00fc" * 60_000}

    async with temporal_host(cluster.address, Large()) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(call_schema("a", "b", "c")))
        ended = await front.wait(task.task_id)
        assert ended.status == Status.SUCCEEDED
        events = await events_of(front, task.task_id)
        assert json.loads(events[-1].task_status_changed.outputs)["c"] == "\u00fc" * 60_000


async def test_pure_work_goes_on_and_is_canceled(cluster: TemporalServer) -> None:
    """Tens of thousands of iterations without a call run through, or stop in the middle where that is wanted."""
    inputs = json.dumps({"items": list(range(40_000))})
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        schema = loop_schema()
        whole = await front.run(TaskRequest(schema, inputs))
        stopped = await front.run(TaskRequest(schema, inputs))
        await reached(front, stopped.task_id, 1_000)
        assert await front.cancel(stopped.task_id, "enough")
        assert (await front.wait(whole.task_id)).status == Status.SUCCEEDED
        assert len(await events_of(front, whole.task_id)) > 80_000
        events = await events_of(front, stopped.task_id)
        assert texts(events) == ["enough"]
        assert 1_000 < len(events) < 80_000


async def test_a_long_task_goes_on_in_new_runs(cluster: TemporalServer) -> None:
    """A task of many calls goes through many runs of its workflow; watchers notice nothing, wherever they begin."""
    calls, items = Answering(), 60
    async with temporal_host(cluster.address, calls, history_events=100) as host, host.worker():
        front, other = host.front(), host.front()
        task = await front.run(
            TaskRequest(loop_schema("c"), json.dumps({"items": list(range(items))}), labels={"kept": "yes"})
        )
        live, late, ended = await asyncio.gather(
            events_of(front, task.task_id),
            follow_in_pieces(other, task.task_id, 50),
            other.wait(task.task_id),
        )
        assert late == live
        assert (ended.status, ended.last_sequence) == (Status.SUCCEEDED, live[-1].sequence)
        assert calls.made == [f"loop_0[{index}]/c" for index in range(items)]
        description = await host.client.get_workflow_handle(task.task_id).describe()
        info = description.raw_description.workflow_execution_info
        assert info.first_run_id != info.execution.run_id
        assert info.history_length < 200
        record = await other.task(task.task_id)
        assert (record.status, record.labels, record.create_time) == (
            Status.SUCCEEDED,
            {"kept": "yes"},
            task.create_time,
        )
        middle = len(live) // 2
        assert await events_of(other, task.task_id, middle) == live[middle:]


async def follow_in_pieces(front: Any, task_id: str, size: int) -> list[Any]:
    """A watcher that leaves after so many events, and comes again after the last it has seen, until the end."""
    seen: list[Any] = []
    while not seen or not seen[-1].task_status_changed.status.terminated:
        begin = len(seen)
        async with aclosing(front.watch(task_id, begin)) as watch:
            async for item in watch:
                events = WatchTaskResponse.FromString(item.events).events
                seen += (event for event in events if event.sequence > len(seen))
                if len(seen) - begin >= size:
                    break
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    return seen


async def test_deltas_arrive(cluster: TemporalServer) -> None:
    """Who asks for them gets the pieces of a growing answer, through the heartbeats of its call."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        found = ""
        async with aclosing(front.watch(task.task_id, 0, deltas=True)) as watch:
            calls.context("a").emit_delta("Hello, ")
            async for item in watch:
                if isinstance(item, OutputDelta):
                    found += item.text
                    assert (item.node_id, item.snapshot_id) == ("a", "a")
                    if found == "Hello, ":
                        calls.context("a").emit_delta("world")
                    elif found == "Hello, world":
                        calls.answer("a", {"v": found})
        assert found == "Hello, world"


async def test_histories_hold_nothing_readable(cluster: TemporalServer) -> None:
    """Keys, inputs and labels are nowhere to be read in the cluster: not in the history, the memo, or the attributes."""
    calls = Answering()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front = host.front()
        request = TaskRequest(call_schema("a"), '{"x": 1}', labels={"customer": "ACME-4711"})
        task = await front.run(request)
        await front.wait(task.task_id)
        plain = await connect(host.temporal, data_converter({}, unencrypted=True), lazy=False)
        handle = plain.get_workflow_handle(task.task_id)
        history = (await handle.fetch_history()).to_json()
        shown = history + str((await handle.describe()).raw_description)
        for secret in ("sk-1234567890", "apiKey", "ACME-4711", "start_0", "of a"):
            assert secret not in shown, secret


async def test_pinned_settings_hold(cluster: TemporalServer) -> None:
    """A task keeps the limits that it was accepted with, whatever its worker has."""
    async with temporal_host(cluster.address) as host:
        front = host.front()
        task = await front.run(TaskRequest(echo_schema(), '{"x": 1}'))
        host.settings = replace(host.settings, limits=replace(host.settings.limits, max_events=2))
        async with host.worker():
            assert (await front.wait(task.task_id)).status == Status.SUCCEEDED


async def test_code_runs_in_workers(cluster: TemporalServer) -> None:
    """A real node type with resources of its own makes its calls in a worker."""
    script = {
        "language": "javascript",
        "content": "async function main({params}) { return {v: 'x' + params.n} }",
    }
    code = node(
        "code_0",
        "code",
        {
            "script": script,
            "inputs": declare(n="integer"),
            "inputsValues": {"n": ref("start_0", "n")},
            "outputs": declare(v="string"),
        },
    )
    schema = {
        "nodes": [start(n="integer"), code, end(v=("string", ref("code_0", "v")))],
        "edges": [edge("start_0", "code_0"), edge("code_0", "end_0")],
    }
    node_type = CodeNode()
    async with node_type, temporal_host(cluster.address, node_type) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(json.dumps(schema), '{"n": 7}'))
        events = await events_of(front, task.task_id)
        assert json.loads(events[-1].task_status_changed.outputs) == {"v": "x7"}
