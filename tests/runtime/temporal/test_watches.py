"""Watches of tasks on several servers: from wherever they begin, the same events."""

import asyncio
import json

import pytest
from support.applications import call_schema, reached
from support.fakes import ScriptedCalls
from support.temporal_histories import loop
from support.temporal_host import events_of, temporal_host
from support.temporal_server import TemporalServer

from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.errors import SequenceOutOfRange
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.journal.interface import Batch
from flowgram_core.nodes.executor import CallContext


async def test_all_watchers_see_the_same(cluster: TemporalServer) -> None:
    """Watchers on two servers, from the beginning and from the middle, get the same events; the report's log, too."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        fronts = [host.front(), host.front()]
        task = await fronts[0].run(TaskRequest(call_schema("a", "b")))
        watches = [
            asyncio.create_task(events_of(fronts[index % 2], task.task_id, after))
            for index, after in enumerate((0, 0, 0, 0))
        ]
        await calls.running("a", "b")
        calls.answer("b", {"v": "second"})
        await reached(fronts[1], task.task_id, 5)
        late = asyncio.create_task(events_of(fronts[1], task.task_id, 4))
        calls.answer("a", {"v": "first"})
        seen = [await watch for watch in watches]
        assert all(events == seen[0] for events in seen)
        assert await late == seen[0][4:]
        logged = [batch async for batch in fronts[1].log(task.task_id)]
        watched = [item async for item in fronts[0].watch(task.task_id, 0) if isinstance(item, Batch)]
        assert b"".join(batch.events for batch in logged) == b"".join(batch.events for batch in watched)


async def test_a_server_that_is_behind_catches_up(cluster: TemporalServer) -> None:
    """Who has seen an event on one server goes on after it on another, however far that one is."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front, other = host.front(), host.front()
        task = await front.run(TaskRequest(call_schema("a", "b")))
        keeping = asyncio.create_task(events_of(other, task.task_id))
        await calls.running("a", "b")
        for name in ("a", "b"):
            calls.answer(name, {"v": name})
        last = (await events_of(front, task.task_id))[-1].sequence
        assert await events_of(other, task.task_id, last) == []
        with pytest.raises(SequenceOutOfRange):
            await events_of(other, task.task_id, last + 1)
        await keeping


class Answering(ScriptedCalls):
    """Calls that are answered at once, but for the last one, which waits."""

    async def execute(self, call: Call, context: CallContext) -> dict[str, str]:
        if call.key == "loop_0[19]/code_0":
            return await super().execute(call, context)
        return {"v": call.key}


async def test_a_watch_goes_on_at_every_event(cluster: TemporalServer) -> None:
    """On another server than before, of a task in several runs, while it runs and after it has ended."""
    calls = Answering()
    async with temporal_host(cluster.address, calls, history_events=40) as host, host.worker():
        front, other = host.front(), host.front()
        task = await front.run(TaskRequest(loop(), json.dumps({"items": [5] * 20})))
        await calls.running("loop_0[19]/code_0")
        now = (await front.task(task.task_id)).last_sequence
        live = [asyncio.create_task(events_of(other, task.task_id, after)) for after in range(now + 1)]
        whole = asyncio.create_task(events_of(front, task.task_id))
        with pytest.raises(SequenceOutOfRange):
            await events_of(other, task.task_id, now + 1)
        calls.answer("loop_0[19]/code_0", {"v": "last"})
        events = await whole
        assert now < len(events)
        for after, watching in enumerate(live):
            assert await watching == events[after:]
        for after in range(len(events) + 1):
            assert await events_of(front, task.task_id, after) == events[after:]
        with pytest.raises(SequenceOutOfRange):
            await events_of(front, task.task_id, len(events) + 1)
        described = (await host.client.get_workflow_handle(task.task_id).describe()).raw_description
        info = described.workflow_execution_info
        assert info.first_run_id != info.execution.run_id
