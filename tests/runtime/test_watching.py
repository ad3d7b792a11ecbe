"""Watching: what a watcher is given, when, and how it ends."""

import asyncio

import pytest
from support.applications import (
    HeldJournal,
    call_schema,
    collect,
    echo_schema,
    logged,
    reached,
    shown,
    statuses,
)
from support.fakes import FakeClock, ScriptedCalls, running_application

from flowgram_core.hosting.errors import (
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
)
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.service import Heartbeat, TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status


async def test_events_are_shown_only_after_their_commit() -> None:
    """While the journal holds a commit back, neither `run` nor a watcher sees anything of it."""
    journal = HeldJournal()
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal) as application:
        running = asyncio.create_task(application.run(TaskRequest(call_schema("code_0"))))
        await journal.held.wait()
        assert not running.done()
        assert calls.made == []
        journal.release()
        record = await running
        watching = asyncio.create_task(collect(application, record.task_id))
        await calls.running("code_0")
        journal.held.clear()
        calls.answer("code_0", {"v": "done"})
        await journal.held.wait()
        assert (await application.task(record.task_id)).status == Status.PROCESSING
        assert not watching.done()
        journal.release()
        assert statuses(await watching)[-2:] == ["end_0 SUCCEEDED", "task SUCCEEDED"]


async def test_a_watcher_gets_what_happened_then_what_happens() -> None:
    """A watch replays the log after a sequence, goes on live, and ends after the terminal event, without gap or repeat."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        early = asyncio.create_task(collect(application, record.task_id))
        await calls.running("a", "b")
        calls.answer("b", {"v": "2"})
        await reached(application, record.task_id, 5)
        late = asyncio.create_task(collect(application, record.task_id, 5))
        await asyncio.sleep(0)
        calls.answer("a", {"v": "1"})
        assert statuses(await early) == [
            "task PROCESSING", "start_0 SUCCEEDED", "a PROCESSING", "b PROCESSING", "b SUCCEEDED", "a SUCCEEDED",
            "end_0 SUCCEEDED", "task SUCCEEDED",
        ]  # fmt: skip
        assert statuses(await late) == ["a SUCCEEDED", "end_0 SUCCEEDED", "task SUCCEEDED"]
        assert shown(await collect(application, record.task_id)) == shown(await early)
        assert shown(await logged(application, record.task_id)) == shown(await early)
        with pytest.raises(SequenceOutOfRange):
            await collect(application, record.task_id, 99)
        with pytest.raises(TaskNotFound):
            await collect(application, "nobody")


async def test_a_watcher_behind_the_tail_reads_the_journal() -> None:
    """A watcher that needs more than is kept in memory gets it from the journal, in order and once."""
    calls = ScriptedCalls()
    async with running_application(calls, settings=RuntimeSettings(tail_bytes=1)) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        watch = application.watch(record.task_id, 0)
        first = await anext(watch)
        await calls.running("a", "b")
        calls.answer("a", {"v": "1"})
        await reached(application, record.task_id, 5)
        calls.answer("b", {"v": "2"})
        await application.wait(record.task_id)
        assert isinstance(first, Batch)
        rest = [item async for item in watch if isinstance(item, Batch)]
        assert shown([first, *rest]) == shown(await logged(application, record.task_id))


async def test_deltas_come_live_between_the_events_of_their_run() -> None:
    """Who asks for deltas gets them joined while the call runs, and none after its end; others get none."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        watch = application.watch(record.task_id, 0, deltas=True)
        assert isinstance(await anext(watch), Batch)
        await calls.running("a")
        waiting = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        calls.context("a").emit_delta("one ")
        calls.context("a").emit_delta("two")
        delta = await waiting
        assert isinstance(delta, OutputDelta)
        assert (delta.node_id, delta.snapshot_id, delta.text) == ("a", "a", "one two")
        calls.context("a").emit_delta("too late")
        calls.answer("a", {"v": "one two"})
        await application.wait(record.task_id)
        assert [type(item) async for item in watch] == [Batch]
        assert calls.context("a").task_id == record.task_id
        assert calls.context("a").idempotency_key == f"{record.task_id}/a"


async def test_a_silent_watch_gives_heartbeats() -> None:
    """When nothing else was given for so long, a heartbeat is."""
    calls, clock = ScriptedCalls(), FakeClock()
    async with running_application(calls, clock=clock) as application:
        record = await application.run(TaskRequest(call_schema("a"), timeout=10**9))
        watch = application.watch(record.task_id, 0, heartbeat=5)
        await anext(watch)
        for _ in range(2):
            waiting = asyncio.create_task(anext(watch))
            await asyncio.sleep(0)
            clock.advance(5)
            assert isinstance(await waiting, Heartbeat)
        await watch.aclose()


async def test_draining_takes_no_tasks_ends_watches_and_waits_for_the_running() -> None:
    """After a drain new tasks are refused and watches end with `ShuttingDown`; what ended within the grace has ended."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        watching = asyncio.create_task(collect(application, record.task_id))
        await asyncio.sleep(0)
        draining = asyncio.create_task(application.drain(60))
        with pytest.raises(ShuttingDown):
            await watching
        with pytest.raises(ShuttingDown):
            await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        calls.answer("a", {"v": "1"})
        await draining
        assert (await application.task(record.task_id)).status == Status.SUCCEEDED
