"""Namespaces of tasks in one cluster: a call for a task of another finds none."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest
from support.applications import call_schema, changed, echo_schema
from support.fakes import ScriptedCalls
from support.temporal_host import temporal_host
from support.temporal_server import TemporalServer

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.hosting.errors import QuotaExceeded, TaskNotFound
from flowgram_core.hosting.quotas import Quota
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskFilter
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.application import TemporalApplication

Ask = Callable[[TemporalApplication, str, str], Awaitable[Any]]


async def _watched(front: TemporalApplication, task_id: str, namespace: str) -> None:
    async with aclosing(front.watch(task_id, 0, namespace=namespace)) as items:
        await anext(items)


async def _logged(front: TemporalApplication, task_id: str, namespace: str) -> None:
    async with aclosing(front.log(task_id, namespace=namespace)) as batches:
        await anext(batches)


CALLS: dict[str, Ask] = {
    "task": lambda front, task_id, namespace: front.task(task_id, namespace=namespace),
    "schema": lambda front, task_id, namespace: front.schema(task_id, namespace=namespace),
    "wait": lambda front, task_id, namespace: front.wait(task_id, namespace=namespace),
    "cancel": lambda front, task_id, namespace: front.cancel(task_id, "", namespace=namespace),
    "watch": _watched,
    "log": _logged,
}


async def test_tasks_are_reached_in_their_namespace(cluster: TemporalServer) -> None:
    """By every call, on any server; elsewhere they do not exist, whatever their ids are made to look like."""
    calls = ScriptedCalls()
    async with temporal_host(cluster.address, calls) as host, host.worker():
        front, other = host.front(), host.front()
        ended = await front.run(TaskRequest(echo_schema(), '{"x": 1}', namespace="acme"))
        assert (await other.wait(ended.task_id, namespace="acme")).status == Status.SUCCEEDED
        running = await front.run(TaskRequest(call_schema("a"), namespace="acme"))
        await calls.running("a")
        assert calls.context("a").owner == Owner("acme", running.task_id)
        for ask in CALLS.values():
            for task_id in (ended.task_id, running.task_id, f"acme/{ended.task_id}"):
                for namespace in ("default", "zoo"):
                    with pytest.raises(TaskNotFound, match=f"no task '{task_id}'"):
                        await ask(other, task_id, namespace)
        for name, ask in CALLS.items():
            if name not in {"wait", "cancel"}:
                await ask(other, running.task_id, "acme")
        record = await other.task(running.task_id, namespace="acme")
        assert (record.task_id, record.namespace, record.status) == (
            running.task_id,
            "acme",
            Status.PROCESSING,
        )
        assert await other.cancel(running.task_id, "", namespace="acme")


async def test_request_ids_belong_to_a_namespace(cluster: TemporalServer) -> None:
    """The same one in three namespaces is three tasks, each found again by its own."""
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="of everybody")
        wanted = [changed(request, namespace=name) for name in ("default", "acme", "zoo")]
        first = [await front.run(each) for each in wanted]
        assert len({record.task_id for record in first}) == 3
        again = [await front.run(each) for each in wanted]
        assert [(record.task_id, record.namespace) for record in again] == [
            (record.task_id, record.namespace) for record in first
        ]


async def test_lists_and_watches_have_the_tasks_of_their_namespace(cluster: TemporalServer) -> None:
    """With labels, too; tasks of the default namespace are those that name none."""
    async with temporal_host(cluster.address) as host, host.worker():
        front = host.front()
        mark = {"test": host.temporal.task_queue}
        async with aclosing(front.watch_tasks(TaskFilter(labels=mark, namespace="acme"))) as watch:
            await anext(watch)
            ids = {
                name: [
                    (
                        await front.run(TaskRequest(echo_schema(), '{"x": 1}', labels=mark, namespace=name))
                    ).task_id
                    for _ in range(2)
                ]
                for name in ("default", "acme", "zoo")
            }
            seen: set[str] = set()
            while not seen.issuperset(ids["acme"]):
                seen |= {record.task_id for record in (await anext(watch)).tasks}
            assert seen == set(ids["acme"])
        for name, expected in ids.items():
            found: list[Any] = []
            while len(found) < 2:  # the store that lists is behind
                found = await front.tasks(
                    limit=10, before=None, statuses=frozenset(), labels=mark, namespace=name
                )
            assert [record.task_id for record in found] == expected[::-1]
            assert {record.namespace for record in found} == {name}


async def test_all_servers_sign_alike(cluster: TemporalServer) -> None:
    """With secrets that only they know: those made of the keys that encrypt histories, each of which is taken."""
    async with temporal_host(cluster.address) as host:
        assert host.front().signing_keys == host.front().signing_keys
        (key,) = host.front().signing_keys
    second = {"second": "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI="}
    async with temporal_host(
        cluster.address, encryption_keys=second | host.temporal.encryption_keys
    ) as other:
        assert other.front().signing_keys[1] == key != other.front().signing_keys[0]


async def test_quotas_of_tasks_and_starts(cluster: TemporalServer) -> None:
    """Of the namespace only, and a request that was accepted before is answered all the same."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(quotas={"few": Quota(max_tasks=1), "slow": Quota(max_starts_per_second=0.01)})
    async with temporal_host(cluster.address, calls, settings=settings) as host, host.worker():
        front = host.front()
        request = TaskRequest(call_schema("a"), request_id="first", namespace="few")
        first = await front.run(request)
        with pytest.raises(QuotaExceeded, match="1 tasks run and wait: the limit max_tasks is reached"):
            await front.run(changed(request, request_id="second"))
        assert (await front.run(request)).task_id == first.task_id
        quick = TaskRequest(echo_schema(), '{"x": 1}', namespace="slow")
        await front.run(quick)
        with pytest.raises(QuotaExceeded, match="max_starts_per_second"):
            await front.run(quick)
        await front.run(changed(quick, namespace="other"))
        await front.cancel(first.task_id, "", namespace="few")


async def test_a_namespace_that_may_make_no_calls(cluster: TemporalServer) -> None:
    """The worker says so in the task that fails."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(quotas={"acme": Quota(max_calls=0)})
    async with temporal_host(cluster.address, calls, settings=settings) as host, host.worker():
        front = host.front()
        task = await front.run(TaskRequest(call_schema("a"), namespace="acme"))
        ended = await front.wait(task.task_id, namespace="acme")
        assert ended.status == Status.FAILED
        assert b"its quota max_calls is 0" in (ended.result or b"")
