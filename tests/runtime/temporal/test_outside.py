"""Tasks whose workflows somebody else ends, or removes."""

import asyncio
import contextlib
from functools import partial

import pytest
from support.applications import call_schema, reached
from support.fakes import ScriptedCalls
from support.temporal_host import events_of, temporal_host, texts
from support.temporal_server import TemporalServer
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from flowgram_core.hosting.errors import TaskNotFound
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.application import TemporalApplication


async def test_ended_from_outside(cluster: TemporalServer) -> None:
    """What an operator terminates is reported as failed, alike by all servers."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls, heartbeat_timeout=1.0) as host, host.worker():
        front, other = host.front(), host.front()
        task = await front.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        watching = asyncio.create_task(events_of(front, task.task_id))
        handle = host.client.get_workflow_handle(task.task_id)
        await handle.terminate(reason="maintenance")
        events = await watching
        assert texts(events) == ["Task was terminated by an operator: maintenance"]
        assert events[-1].task_status_changed.status.status == Status.FAILED
        assert await events_of(other, task.task_id) == events
        record = await other.wait(task.task_id)
        assert record == await front.wait(task.task_id)
        assert (record.status, record.last_sequence) == (Status.FAILED, events[-1].sequence)
    with pytest.raises(TaskNotFound):
        await front.task("there-is-none")
    with pytest.raises(TaskNotFound):
        await events_of(front, "x" * 2000)


async def removed(front: TemporalApplication, task_id: str) -> None:
    """Returns once a task is not found."""
    with contextlib.suppress(TaskNotFound):
        while True:
            await front.task(task_id)


async def test_removed_from_outside(cluster: TemporalServer) -> None:
    """Those who watch see how it was ended first; then nobody finds it, no list has it, and its request id is free."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls, heartbeat_timeout=1.0) as host, host.worker():
        front, other = host.front(), host.front()
        labels = {"of": host.temporal.task_queue}
        request = TaskRequest(call_schema("a"), request_id=host.temporal.task_queue, labels=labels)
        task = await front.run(request)
        await calls.running("a")
        while not await front.tasks(limit=5, before=None, statuses=frozenset(), labels=labels):  # noqa: ASYNC110 - as below
            await asyncio.sleep(0.05)
        watching = asyncio.create_task(events_of(front, task.task_id))
        waiting = asyncio.create_task(other.wait(task.task_id))
        await host.client.workflow_service.delete_workflow_execution(
            DeleteWorkflowExecutionRequest(
                namespace=host.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=task.task_id),
            )
        )
        try:
            events = await watching
        except TaskNotFound:  # it was removed before its end was read
            pass
        else:
            assert texts(events)[0].startswith("Task was terminated by an operator")
            assert events[-1].task_status_changed.status.status == Status.FAILED
        with contextlib.suppress(TaskNotFound):
            assert (await waiting).status == Status.FAILED
        await removed(front, task.task_id)
        for server in (front, other):
            for ask in (server.task, server.wait, server.schema, partial(events_of, server)):
                with pytest.raises(TaskNotFound):
                    await ask(task.task_id)
            with pytest.raises(TaskNotFound):
                await server.cancel(task.task_id, "")
        while await front.tasks(limit=5, before=None, statuses=frozenset(), labels=labels):  # noqa: ASYNC110 - it is behind
            await asyncio.sleep(0.05)
        again = await other.run(request)
        assert (again.task_id, again.status) == (task.task_id, Status.PENDING)
        watching = asyncio.create_task(events_of(front, task.task_id))
        await reached(other, task.task_id, 3)
        assert await other.cancel(again.task_id, "")
        assert (await front.wait(task.task_id)).status == Status.CANCELED
        assert (await watching)[-1].task_status_changed.status.status == Status.CANCELED
