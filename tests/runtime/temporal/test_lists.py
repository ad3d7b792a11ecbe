"""Lists of tasks, and the number of those that are open, by the cluster's visibility store."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.applications import echo_schema
from support.temporal_host import temporal_host
from support.temporal_server import TemporalServer

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.hosting.errors import TooManyTasks
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.cluster import Cluster
from flowgram_core.temporal.visibility import TaskLists


async def test_open_tasks_are_bounded(cluster: TemporalServer) -> None:
    """Beyond the limit new tasks are refused until others have ended; one that was accepted is found all the same."""
    async with temporal_host(cluster.address) as host:
        others = await TaskLists(Cluster(host.client, "", SystemClock()), SystemClock()).open_tasks()
        host.temporal = replace(host.temporal, max_open_tasks=others + 1)
        front = host.front()
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id=host.temporal.task_queue)
        await until_listed(front, (await front.run(request)).task_id)
        full = host.front()
        with pytest.raises(TooManyTasks, match="max_open_tasks"):
            await full.run(TaskRequest(echo_schema(), '{"x": 1}'))
        assert (await full.run(request)).status == Status.PENDING
        async with host.worker():
            await full.wait((await full.run(request)).task_id)


async def until_listed(front: Any, task_id: str) -> None:
    """Returns once the visibility store shows a task."""
    while task_id not in {  # noqa: ASYNC110 - the cluster tells nobody
        record.task_id for record in await front.tasks(limit=5, before=None, statuses=frozenset(), labels={})
    }:
        await asyncio.sleep(0.05)


async def test_lists_go_through_all_pages(cluster: TemporalServer) -> None:
    """Newest first, page by page, by status and by labels; a task that was started while paging does not shift it."""
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        labels = {"list": host.temporal.task_queue}
        ids = []
        for _ in range(12):
            task = await front.run(TaskRequest(echo_schema(), '{"x": 1}', labels=labels))
            await front.wait(task.task_id)
            ids.append(task.task_id)
        await until_listed(front, ids[-1])
        seen: list[str] = []
        before = None
        while page := await front.tasks(limit=5, before=before, statuses=frozenset({3}), labels=labels):
            seen += (record.task_id for record in page)
            before = page[-1].order
            assert all(record.labels == labels and record.end_time for record in page)
            await front.run(TaskRequest(echo_schema(), '{"x": 1}', labels=labels))
        assert seen == ids[::-1]
        for statuses in ({1}, {4, 5}):
            assert await front.tasks(limit=5, before=None, statuses=frozenset(statuses), labels=labels) == []


ODD = {
    "it's": '"quoted" \\ and `so` %s',
    "'; DROP TABLE executions; --": "' OR '1' = '1",
    "a = 'b' AND c": "*",
    " ": "",
    "line\nbreak\ttab": "\u202eright to left",
    "\U0001f600": "\u4e2d\u6587 \u00e9 e\u0301",
    "x" * 128: "y" * 512,
}
"""Labels whose texts mean something elsewhere."""


async def test_odd_texts_are_only_texts(cluster: TemporalServer) -> None:
    """Labels and names come back as they were given, and each label finds its task and no other."""
    async with temporal_host(cluster.address) as host:
        front, other = host.front(), host.front()
        mark = host.temporal.task_queue
        name = 'N\'ame "\U0001f600" \\ <b>%s\n\t ' + "z" * 200
        odd = TaskRequest(echo_schema(), labels={**ODD, "mark": mark}, display_name=name)
        task = await front.run(odd)
        plain = await front.run(TaskRequest(echo_schema(), labels={"mark": mark}))
        await until_listed(front, plain.task_id)

        async def listed(labels: dict[str, str]) -> list[Any]:
            return await other.tasks(
                limit=5, before=None, statuses=frozenset(), labels=labels | {"mark": mark}
            )

        assert [record.task_id for record in await listed({})] == [plain.task_id, task.task_id]
        for key, value in ODD.items():
            (record,) = await listed({key: value})
            assert (record.task_id, record.labels, record.display_name) == (task.task_id, odd.labels, name)
            assert await listed({key: f"{value} "}) == []
            assert await listed({value: key}) == []
        assert len(await listed(ODD)) == 1
        found = await other.task(task.task_id)
        assert (found.labels, found.display_name) == (odd.labels, name)


async def test_ends_of_all_kinds_are_listed(cluster: TemporalServer) -> None:
    """By the status that the task itself has; one that no worker has taken is among those that run."""
    async with temporal_host(cluster.address) as host:
        front = host.front()
        labels = {"of": host.temporal.task_queue}
        request = TaskRequest(echo_schema(), '{"x": 1}', labels=labels)
        wanted: dict[int, str] = {}
        async with host.worker():
            wanted[Status.SUCCEEDED] = (await front.run(request)).task_id
            await front.wait(wanted[Status.SUCCEEDED])
        failed = await front.run(request)
        await host.client.get_workflow_handle(failed.task_id).terminate()
        waiting = await front.run(request)
        wanted |= {Status.FAILED: failed.task_id, Status.PROCESSING: waiting.task_id}

        async def listed(*statuses: int) -> list[str]:
            found = await front.tasks(limit=9, before=None, statuses=frozenset(statuses), labels=labels)
            assert all(record.status in (statuses or wanted) for record in found)
            return [record.task_id for record in found]

        while not all([await listed(status) for status in wanted]):  # noqa: ASYNC110 - the store is behind
            await asyncio.sleep(0.05)
        for status, task_id in wanted.items():
            assert await listed(status) == [task_id]
        assert (
            await listed(*wanted)
            == await listed()
            == [waiting.task_id, failed.task_id, wanted[Status.SUCCEEDED]]
        )
        assert await listed(Status.PENDING) == []
        assert await listed(Status.PENDING, Status.PROCESSING) == [waiting.task_id]
