"""What lists and watches of tasks show, out of the cluster's visibility store."""

import asyncio
from contextlib import aclosing

import pytest
from support.applications import call_schema, echo_schema
from support.fakes import ScriptedCalls
from support.temporal_host import events_of, temporal_host
from support.temporal_server import TemporalServer
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from flowgram_core.hosting.errors import TaskNotFound
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


async def test_deleted_from_outside(cluster: TemporalServer) -> None:
    """A task that an operator deletes is not found from then on, and in no list; who watches it learns that it is gone."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls, heartbeat_timeout=1.0) as host, host.worker():
        front, other = host.front(), host.front()
        labels = {"deleted": f"{host.temporal.task_queue}"}
        task = await front.run(TaskRequest(call_schema("a"), labels=labels))
        await calls.running("a")
        await listed(front, labels, 1)
        watching = asyncio.ensure_future(events_of(front, task.task_id))
        await host.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=host.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=task.task_id),
            )
        )
        try:
            events = await watching
        except TaskNotFound:
            pass
        else:  # the cluster terminates it first, and its watchers may learn that
            assert events[-1].task_status_changed.status.status == Status.FAILED
        await listed(front, labels, 0)
        for server in (front, other):
            with pytest.raises(TaskNotFound):
                await server.task(task.task_id)
            with pytest.raises(TaskNotFound):
                await events_of(server, task.task_id)
            with pytest.raises(TaskNotFound):
                await server.wait(task.task_id)
            with pytest.raises(TaskNotFound):
                await server.cancel(task.task_id, "too late")
