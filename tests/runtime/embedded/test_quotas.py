"""Quotas on the embedded host: what a namespace is refused, and what nobody else notices of it."""

import asyncio

import pytest
from support.applications import call_schema, changed, echo_schema
from support.fakes import FakeClock, ScriptedCalls, running_application

from flowgram_core.hosting.errors import QuotaExceeded
from flowgram_core.hosting.quotas import Quota
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status


def settings(**quota: float) -> RuntimeSettings:
    """One namespace, acme, with this quota."""
    return RuntimeSettings(quotas={"acme": Quota(**quota)})  # type: ignore[arg-type]  # as given


def long_task(**more: str) -> TaskRequest:
    return TaskRequest(call_schema("a"), namespace="acme", **more)


async def test_tasks_that_run_and_wait_are_counted() -> None:
    """Up to the quota, also those of a former process; others go on, and a repeated request is answered."""
    calls, journal = ScriptedCalls(), MemoryJournal()
    async with running_application(calls, journal=journal, settings=settings(max_tasks=2)) as application:
        first = await application.run(long_task(request_id="first"))
        await application.run(long_task())
        with pytest.raises(QuotaExceeded, match="2 tasks run and wait: the limit max_tasks is reached"):
            await application.run(long_task())
        assert (await application.run(long_task(request_id="first"))).task_id == first.task_id
        outcomes = await application.run_many(
            [TaskRequest(echo_schema(), '{"x": 1}', namespace="zoo"), long_task()]
        )
        assert [type(outcome) for outcome in outcomes] == [TaskRecord, QuotaExceeded]
    async with running_application(
        calls, journal=journal, settings=settings(max_tasks=2), first_id=1
    ) as application:
        with pytest.raises(QuotaExceeded):
            await application.run(long_task())
        await application.cancel(first.task_id, "", namespace="acme")
        await application.run(long_task())


async def test_starts_are_slowed_down() -> None:
    """A refused task is none: it can be run with the same request id once its time has come."""
    clock = FakeClock()
    request = TaskRequest(echo_schema(), '{"x": 1}', namespace="acme")
    async with running_application(clock=clock, settings=settings(max_starts_per_second=2)) as application:
        for _ in range(2):
            await application.run(request)
        with pytest.raises(QuotaExceeded) as refused:
            await application.run(changed(request, request_id="r"))
        assert refused.value.retry_after == 0.5
        clock.advance(0.5)
        assert (await application.run(changed(request, request_id="r"))).status == Status.SUCCEEDED


async def settled() -> None:
    """Lets all that can go on go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_bytes_are_counted() -> None:
    """What a namespace keeps; once it is removed there is room again. Others have theirs."""
    clock, journal = FakeClock(), MemoryJournal()
    wanted = settings(max_bytes=1)
    request = TaskRequest(echo_schema(), '{"x": 1}', namespace="acme")
    async with running_application(clock=clock, journal=journal, settings=wanted) as application:
        await application.run(request)
        clock.advance(1)
        await settled()
        with pytest.raises(
            QuotaExceeded, match=r"its tasks take \d+ bytes: the limit max_bytes = 1 is reached"
        ):
            await application.run(request)
        await application.run(changed(request, namespace="zoo"))
        await journal.remove_finished(ended_before=None, keep_newest=0, limit=100)
        clock.advance(1)
        await settled()
        await application.run(request)


async def test_a_namespace_that_may_make_no_calls() -> None:
    """Its task fails with a message that names the quota."""
    calls = ScriptedCalls()
    async with running_application(calls, settings=settings(max_calls=0)) as application:
        record = await application.run(long_task())
        ended = await application.wait(record.task_id, namespace="acme")
        assert ended.status == Status.FAILED
        assert b"its quota max_calls is 0" in (ended.result or b"")
