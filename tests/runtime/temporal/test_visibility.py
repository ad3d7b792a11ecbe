"""What lists and watches of tasks show, out of the cluster's visibility store."""

import asyncio
from contextlib import aclosing

from support.applications import call_schema, echo_schema
from support.fakes import ScriptedCalls
from support.temporal_host import temporal_host
from support.temporal_server import TemporalServer

from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.task_changes import TaskFilter
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.application import TemporalApplication


async def listed(front: TemporalApplication, labels: dict[str, str], count: int) -> dict[str, str]:
    """The names of the tasks with these labels, by id, once the list has so many."""
    while True:
        records = await front.tasks(limit=50, before=None, statuses=frozenset(), labels=labels)
        if len(records) == count:
            return {record.task_id: record.display_name for record in records}
        await asyncio.sleep(0.05)  # the cluster tells nobody


async def test_names_are_shown_everywhere(cluster: TemporalServer) -> None:
    """A task's name for people, in any alphabet, is in its record, in lists, and in watches of tasks, of all servers."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front, other = host.front(), host.front()
        labels = {"named": host.temporal.task_queue}
        name = "Grüße, it's order 7 \U0001f680"
        async with aclosing(other.watch_tasks(TaskFilter(labels=labels))) as watch:
            watching = asyncio.ensure_future(anext(watch))
            task = await front.run(TaskRequest(call_schema("a"), labels=labels, display_name=name))
            unnamed = await front.run(TaskRequest(echo_schema(), '{"x": 1}', labels=labels))
            seen = {record.task_id: record.display_name for record in (await watching).tasks}
            while len(seen) < 2:
                seen |= {record.task_id: record.display_name for record in (await anext(watch)).tasks}
            wanted = {task.task_id: name, unnamed.task_id: ""}
            assert seen == wanted
            await calls.running("a")
            assert task.display_name == (await other.task(task.task_id)).display_name == name
            assert await listed(other, labels, 2) == wanted
            calls.answer("a", {"v": "x"})
            await front.wait(task.task_id)
            ended = False
            while not ended:
                ended = any(
                    (record.task_id, record.display_name, record.status)
                    == (task.task_id, name, Status.SUCCEEDED)
                    for record in (await anext(watch)).tasks
                )
        assert (await other.task(task.task_id)).display_name == name
        assert await listed(other, labels, 2) == wanted
