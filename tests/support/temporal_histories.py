"""Records the histories that tests replay. As a program, it does so on a running Temporal server.

    PYTHONPATH=tests python -m support.temporal_histories 127.0.0.1:7233

Those that are committed are never recorded anew for a change of the core: then a running task could not go on. A change of the
workflow that strands them is one for a new build id, and for the changelog.
"""

import asyncio
import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.nodes.executor import CallContext
from support.applications import call_schema
from support.fakes import ScriptedCalls
from support.graphs import condition, declare, edge, end, node, ref, start
from support.temporal_host import TemporalHost, events_of, temporal_host

_IDENTITY = re.compile(r'("identity": )"[^"]*"')
"""Who asked for something: the process and the machine, which nobody needs to know."""

_STICKY_QUEUE = re.compile(r'("name": )"[0-9]+@[^"]*-[0-9a-f]{32}"')
"""The queue of one worker, which is named after its process and machine."""

FOLDER = Path(__file__).parents[1] / "runtime" / "temporal" / "histories"


class AnsweringCalls(ScriptedCalls):
    """Calls that are answered at once, but for those of nodes whose names begin with `held`."""

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        if call.node.id.startswith("held"):
            return await super().execute(call, context)
        if call.node.id.startswith("failing"):
            raise NodeError("no luck")
        return {"v": f"of {call.key}"}


def loop(node_id: str = "code_0") -> str:
    """A loop over items, with a condition and a call in each iteration."""
    block = [
        node("bs", "block-start"),
        condition("odd", ref("loop_0_locals", "item"), "gt", 2),
        node(node_id, "code", {"outputs": declare(v="string")}),
        node("be", "block-end"),
    ]
    edges = [edge("bs", "odd"), edge("odd", node_id, "yes"), edge("odd", "be", "else"), edge(node_id, "be")]
    outer = node(
        "loop_0",
        "loop",
        {"loopFor": ref("start_0", "items"), "loopOutputs": {"all": ref(node_id, "v")}},
        blocks=block,
        edges=edges,
    )
    nodes = [
        start(items={"type": "array", "items": {"type": "integer"}}),
        outer,
        end(all=("array", ref("loop_0", "all"))),
    ]
    return json.dumps({"nodes": nodes, "edges": [edge("start_0", "loop_0"), edge("loop_0", "end_0")]})


async def _record(host: TemporalHost, name: str, task_id: str) -> None:
    """Writes the histories of all runs of a task."""
    await events_of(host.front(), task_id)
    description = (await host.client.get_workflow_handle(task_id).describe()).raw_description
    run_id = description.workflow_execution_info.first_run_id
    number = 0
    while run_id:
        history = await host.client.get_workflow_handle(task_id, run_id=run_id).fetch_history()
        number += 1
        with gzip.GzipFile(FOLDER / f"{name}_{number}.json.gz", "wb", mtime=0) as file:
            text = _IDENTITY.sub(r'\1"worker"', history.to_json())
            text = _STICKY_QUEUE.sub(r'\1"sticky"', text)
            file.write(text.encode())
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id


async def record(address: str) -> None:
    """Records one history of each kind."""
    calls = AnsweringCalls()
    items = json.dumps({"items": [1, 2, 3, 4, 5]})
    async with temporal_host(address, calls, encryption_keys={}, unencrypted=True, history_events=50) as host:
        front = host.front()
        async with host.worker():
            for name, schema in (
                ("loop", loop()),
                ("parallel", call_schema("a", "b", "c")),
                ("failed", call_schema("a", "failing")),
            ):
                inputs = items if name == "loop" else '{"x": 1}'
                await _record(host, name, (await front.run(TaskRequest(schema, inputs))).task_id)
            canceled = await front.run(TaskRequest(call_schema("held", "b"), '{"x": 1}'))
            await calls.running("held")
            assert await front.cancel(canceled.task_id, "enough")
            await _record(host, "canceled", canceled.task_id)
            late = await front.run(TaskRequest(call_schema("held", "b"), '{"x": 1}', timeout=500_000))
            await _record(host, "timed_out", late.task_id)
            many = json.dumps({"items": list(range(30))})
            await _record(host, "continued", (await front.run(TaskRequest(loop(), many))).task_id)
            pure = json.dumps({"items": [0] * 1500})
            await _record(host, "pure", (await front.run(TaskRequest(loop(), pure))).task_id)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
