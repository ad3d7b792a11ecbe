"""What a workflow's history and a worker can take: work of one step, and what a new run of the workflow begins with."""

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from support.fakes import ScriptedCalls
from support.graphs import constant, declare, edge, end, node, ref, start
from support.temporal_host import TemporalHost, events_of, temporal_host, texts
from support.temporal_server import TemporalServer
from temporalio.api.enums.v1 import EventType

from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext
from flowgram_core.temporal import application
from flowgram_core.temporal.settings import MAX_NODE_WORK, MAX_STEP_WORK

INTEGERS = {"type": "array", "items": {"type": "integer"}}


def conditions(count: int) -> str:
    """A condition in a loop, which looks so many times through a text."""
    listed = [
        {
            "key": f"k{index}",
            "value": {"left": ref("start_0", "text"), "operator": "contains", "right": constant("b")},
        }
        for index in range(count)
    ]
    loop = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items")},
        blocks=[
            node("bs", "block-start"),
            node("c", "condition", {"conditions": listed}),
            node("be", "block-end"),
        ],
        edges=[edge("bs", "c"), edge("c", "be", "else")],
    )
    nodes = [start(text="string", items=INTEGERS), loop, end()]
    return json.dumps({"nodes": nodes, "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]})


async def events_in_history(host: TemporalHost, task_id: str, kind: "EventType.ValueType") -> int:
    """How many events of a kind the newest run of a task has."""
    history = await host.client.get_workflow_handle(task_id).fetch_history()
    return sum(event.event_type == kind for event in history.events)


async def test_heavy_work_is_done_in_steps(cluster: TemporalServer) -> None:
    """Node runs that do much each are recorded one by one: together they would take longer than a worker's step may."""
    inputs = json.dumps({"text": "a" * 100_000, "items": list(range(12))})
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(conditions(900), inputs))  # 180,000,000 units each
        assert (await front.wait(task.task_id)).status == Status.SUCCEEDED
        markers = await events_in_history(host, task.task_id, EventType.EVENT_TYPE_MARKER_RECORDED)
        assert markers >= 12 * 180_000_000 // (MAX_STEP_WORK + 180_000_000)
        await events_of(front, task.task_id)


async def test_a_node_run_with_too_much_work_fails(cluster: TemporalServer) -> None:
    """Its task fails with the limit's name: done, it would be stopped by its worker, and begun again for ever."""
    inputs = json.dumps({"text": "a" * 200_000, "items": [1]})
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(conditions(900), inputs))
        assert (await front.wait(task.task_id)).status == Status.FAILED
        assert texts(await events_of(front, task.task_id)) == [
            f"Node run takes more work than the limit max_node_work = {MAX_NODE_WORK}",
            "Loop block execute error",
        ]


class Large(ScriptedCalls):
    """Calls that are answered at once, those of nodes whose names begin with `large` at length."""

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        self.made.append(call.key)
        return {"v": f"{call.key} " * 2_000 if call.node.id.startswith("large") else "small"}


def long_task() -> tuple[str, str]:
    """Calls with large outputs, a loop of small ones after them; and its inputs."""
    outputs = {"outputs": declare(v="string")}
    block = [node("bs", "block-start"), node("small", "code", outputs), node("be", "block-end")]
    loop = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items")},
        blocks=block,
        edges=[edge("bs", "small"), edge("small", "be")],
    )
    ids = [f"large{index}" for index in range(4)]
    nodes = [
        start(items=INTEGERS),
        *(node(node_id, "code", outputs) for node_id in ids),
        loop,
        end(v=("string", ref("large0", "v"))),
    ]
    edges = [edge(one, other) for one, other in pairwise(["start_0", *ids, "loop_0", "end_0"])]
    return json.dumps({"nodes": nodes, "edges": edges}), json.dumps({"items": list(range(25))})


async def run_with(host: TemporalHost, limits: Mapping[str, int]) -> tuple[list[Any], bool]:
    """The events of a long task whose history has these limits, and whether it went on in a new run."""
    front = host.front()
    front.shape = front.shape._replace(**limits)
    task = await front.run(TaskRequest(*long_task()))
    events = await events_of(front, task.task_id)
    described = (await host.client.get_workflow_handle(task.task_id).describe()).raw_description
    info = described.workflow_execution_info
    return events, info.first_run_id != info.execution.run_id


@pytest.mark.parametrize("small", [True, False])
async def test_what_does_not_fit_stays(cluster: TemporalServer, small: bool) -> None:
    """A task that holds more than a new run may begin with stays in its run, and ends there as it does otherwise."""
    limit = 20_000 if small else application.MAX_CONTINUED_BYTES
    async with temporal_host(cluster.address, Large(), history_events=40) as host, host.worker():
        events, continued = await run_with(host, {"continued_bytes": limit})
        assert continued is not small
        assert events[-1].task_status_changed.status.status == Status.SUCCEEDED
        assert texts(events) == []


@pytest.mark.parametrize("full", [{"max_history_events": 100}, {"max_history_bytes": 10_000}])
async def test_a_full_history_ends_a_task(cluster: TemporalServer, full: Mapping[str, int]) -> None:
    """Where it can neither stay nor go on, it fails with a message that says so, before the cluster ends it without one."""
    async with temporal_host(cluster.address, Large(), history_events=40) as host, host.worker():
        events, continued = await run_with(host, {"continued_bytes": 20_000, **full})
        assert not continued
        assert events[-1].task_status_changed.status.status == Status.FAILED
        [text] = texts(events)
        assert (
            text == "Task is long, and holds more than a new run of its workflow may begin with: 20000 bytes"
        )
