"""Keys of histories: what is seen without the right one, by servers and by workers, and how keys are changed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from support.applications import call_schema, changed, echo_schema
from support.fakes import ScriptedCalls
from support.temporal_host import KEYS, events_of, temporal_host
from support.temporal_server import TemporalServer
from temporalio.api.enums.v1 import EventType

from flowgram_core.hosting.errors import RequestConflict
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.journal.errors import JournalUndecipherable
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.application import TemporalApplication

SECOND = {"second": "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="}
Ask = Callable[[TemporalApplication, TaskRequest, str], Awaitable[Any]]


async def _logged(front: TemporalApplication, _: TaskRequest, task_id: str) -> None:
    async for _batch in front.log(task_id):
        pass


READS: dict[str, Ask] = {
    "run again": lambda front, request, _: front.run(request),
    "task": lambda front, _, task_id: front.task(task_id),
    "schema": lambda front, _, task_id: front.schema(task_id),
    "wait": lambda front, _, task_id: front.wait(task_id),
    "log": _logged,
    "watch": lambda front, _, task_id: events_of(front, task_id),
    "list": lambda front, request, _: front.tasks(
        limit=5, before=None, statuses=frozenset(), labels=request.labels
    ),
}


async def listed(front: TemporalApplication, request: TaskRequest) -> None:
    """Returns once the visibility store shows the tasks with the labels of a request."""
    while not await READS["list"](front, request, ""):  # noqa: ASYNC110 - the cluster tells nobody
        await asyncio.sleep(0.05)


async def test_a_wrong_key_shows_nothing(cluster: TemporalServer) -> None:
    """Every call is answered as for a part of the store that cannot be deciphered, and the log names the key for operators."""
    async with temporal_host(cluster.address) as host, host.worker():
        seeing, queue = host.front(), host.temporal.task_queue
        labels = {"of": queue}
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id=queue, labels=labels)
        task = await seeing.run(request)
        await seeing.wait(task.task_id)
        await listed(seeing, request)
        async with temporal_host(cluster.address, task_queue=queue, encryption_keys=SECOND) as other:
            blind = other.front()
            for ask in READS.values():
                with pytest.raises(JournalUndecipherable, match="the key 'first'"):
                    await ask(blind, request, task.task_id)
        imitation = {"first": SECOND["second"]}
        async with temporal_host(cluster.address, task_queue=queue, encryption_keys=imitation) as other:
            blind = other.front()
            for ask in READS.values():
                with pytest.raises(JournalUndecipherable, match="another key, or damaged"):
                    await ask(blind, request, task.task_id)


async def test_keys_are_changed(cluster: TemporalServer) -> None:
    """With the new key first and the old one behind it, tasks from before are read, found again, and go on to their ends."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls, encryption_keys=KEYS) as before:
        queue = before.temporal.task_queue
        request = TaskRequest(call_schema("a"), request_id=queue, labels={"of": queue})
        async with before.worker():
            task = await before.front().run(request)
            await calls.running("a")
        both = SECOND | KEYS
        async with temporal_host(cluster.address, calls, task_queue=queue, encryption_keys=both) as during:
            front = during.front()
            assert (await front.run(request)).task_id == task.task_id
            with pytest.raises(RequestConflict):
                await front.run(changed(request, schema=echo_schema()))
            await listed(front, request)
            calls.made.clear()
            async with during.worker():
                await calls.running("a")
                calls.answer("a", {"v": "later"})
                assert (await front.wait(task.task_id)).status == Status.SUCCEEDED
                events = await events_of(front, task.task_id)
                new = await front.run(changed(request, request_id=f"{queue} new"))
                await calls.running("a")
                calls.answer("a", {"v": "new"})
                assert (await front.wait(new.task_id)).status == Status.SUCCEEDED
        # A history is encrypted with both, from where the key was changed.
        with pytest.raises(JournalUndecipherable, match="the key 'second'"):
            await before.front().wait(task.task_id)
        async with temporal_host(cluster.address, task_queue=queue, encryption_keys=SECOND) as after:
            assert (await after.front().wait(new.task_id)).status == Status.SUCCEEDED
            with pytest.raises(JournalUndecipherable, match="the key 'first'"):
                await after.front().task(task.task_id)
        async with temporal_host(cluster.address, task_queue=queue, encryption_keys=KEYS | SECOND) as back:
            assert await events_of(back.front(), task.task_id) == events


async def test_a_worker_without_the_key_leaves_tasks_alone(cluster: TemporalServer) -> None:
    """A task that it cannot read waits for a worker that can, and ends as if it had not been there."""
    async with temporal_host(cluster.address) as host:
        front, queue = host.front(), host.temporal.task_queue
        task = await front.run(TaskRequest(echo_schema(), '{"x": 1}'))
        handle = host.client.get_workflow_handle(task.task_id)
        async with (
            temporal_host(cluster.address, task_queue=queue, encryption_keys=SECOND) as other,
            other.worker(),
        ):
            while not any(  # noqa: ASYNC110 - the same
                event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
                for event in (await handle.fetch_history()).events
            ):
                await asyncio.sleep(0.05)
        assert (await front.task(task.task_id)).status == Status.PENDING
        async with host.worker():
            assert (await front.wait(task.task_id)).status == Status.SUCCEEDED
        assert len(await events_of(front, task.task_id)) == 4
