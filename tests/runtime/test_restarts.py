"""Restarts, shutdown, an unavailable journal, and retention."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from support.applications import (
    FailingJournal,
    call_schema,
    echo_schema,
    logged,
    quiet,
    reached,
)
from support.fakes import FakeClock, ScriptedCalls, running_application

from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.errors import ShuttingDown, TaskNotFound
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext


async def test_a_task_goes_on_after_a_restart() -> None:
    """Finished calls are not made again, unfinished ones are; the log is continued; a waiting task keeps its turn."""
    journal, settings = MemoryJournal(), RuntimeSettings(max_running_tasks=1)
    before, after = ScriptedCalls(), ScriptedCalls()
    async with running_application(before, journal=journal, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        waiting = await application.run(TaskRequest(call_schema("c")))
        await before.running("a", "b")
        before.answer("a", {"v": "1"})
        await reached(application, record.task_id, 5)
        old_log = await logged(application, record.task_id)
    async with running_application(after, journal=journal, settings=settings) as application:
        await after.running("b")
        assert after.made == ["b"]
        assert (await application.task(waiting.task_id)).status == Status.PENDING
        after.answer("b", {"v": "2"})
        record = await application.wait(record.task_id)
        assert record.result == b"('SUCCEEDED', {'a': '1', 'b': '2'}, [])"
        new_log = await logged(application, record.task_id)
        assert new_log[: len(old_log)] == old_log
        await after.running("c")


async def test_the_time_out_after_a_restart_is_what_was_left() -> None:
    """Time that had passed in the log before the restart counts; the time between does not."""
    journal = MemoryJournal()
    before, after, clock = ScriptedCalls(), ScriptedCalls(), FakeClock()
    async with running_application(before, journal=journal, clock=clock) as application:
        record = await application.run(TaskRequest(call_schema("a", "b"), timeout=10_000_000))
        await before.running("a", "b")
        clock.advance(4)
        before.answer("a", {"v": "1"})
        await reached(application, record.task_id, 5)
    clock.advance(100)
    async with running_application(after, journal=journal, clock=clock) as application:
        await after.running("b")
        clock.advance(5.9)
        assert (await application.task(record.task_id)).status == Status.PROCESSING
        clock.advance(0.1)
        assert b"timed out after 10 s" in ((await application.wait(record.task_id)).result or b"")


async def test_a_log_that_is_replayed_differently_ends_its_task_and_no_other() -> None:
    """A task that cannot be rebuilt is FAILED with a message that says so; the others go on."""
    journal = MemoryJournal()
    before, after = ScriptedCalls(), ScriptedCalls()
    async with running_application(before, journal=journal) as application:
        good = await application.run(TaskRequest(call_schema("a")))
        await before.running("a")
        bad = await application.run(TaskRequest(call_schema("b")))
        await before.running("b")
    last = (await journal.task(bad.task_id) or bad).last_sequence
    await journal.commit(
        Write(bad.task_id, batches=(Batch(last + 1, last + 1, 1, None, b"from another version"),))
    )
    async with running_application(after, journal=journal) as application:
        record = await application.task(bad.task_id)
        assert record.status == Status.FAILED
        assert b"Task cannot go on after a restart" in (record.result or b"")
        await after.running("a")
        after.answer("a", {"v": "1"})
        assert (await application.wait(good.task_id)).status == Status.SUCCEEDED


async def test_a_task_stands_still_while_the_journal_is_away() -> None:
    """A commit that fails is tried again until it succeeds; a task that could not be accepted is refused."""
    journal, calls, clock = FailingJournal(), ScriptedCalls(), FakeClock()
    async with running_application(calls, journal=journal, clock=clock, settings=quiet()) as application:
        journal.failures = 1
        with pytest.raises(JournalUnavailable):
            await application.run(TaskRequest(call_schema("a")))
        record = await application.run(TaskRequest(call_schema("a"), timeout=10**12))
        await calls.running("a")
        journal.failures = 2
        calls.answer("a", {"v": "1"})
        while journal.failures:
            clock.advance(1)
            await asyncio.sleep(0)
        clock.advance(30)
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED


async def test_a_cancel_that_cannot_be_written_is_not_answered() -> None:
    """A caller learns that the service ends, not that the task had ended: it goes on after the restart."""
    journal, calls, after, clock = FailingJournal(), ScriptedCalls(), ScriptedCalls(), FakeClock()
    async with running_application(calls, journal=journal, clock=clock, settings=quiet()) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        journal.failures = 1
        cancelling = asyncio.create_task(application.cancel(record.task_id, "enough"))
        while journal.failures:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)
        await application.drain(0)
    with pytest.raises(ShuttingDown):
        await cancelling
    async with running_application(after, journal=journal, first_id=1) as application:
        await after.running("a")
        after.answer("a", {"v": "1"})
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED


async def test_finished_tasks_are_removed_by_age() -> None:
    """A task that ended longer ago than the retention is gone; a younger one stays."""
    journal, clock = MemoryJournal(), FakeClock()
    settings = RuntimeSettings(retention_age=100, retention_interval=10)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        old = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        clock.advance(95)
        young = await application.run(TaskRequest(echo_schema(), '{"x": 2}'))
        while await journal.task(old.task_id) is not None:
            clock.advance(1)
            await asyncio.sleep(0)
        with pytest.raises(TaskNotFound):
            await application.task(old.task_id)
        assert (await application.task(young.task_id)).status == Status.SUCCEEDED


class Stubborn(ScriptedCalls):
    """Calls that go on when they are cancelled, until they are answered."""

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        running = asyncio.ensure_future(super().execute(call, context))
        while not running.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(running)
        return running.result()


async def test_calls_that_do_not_end_do_not_keep_a_server_from_ending(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """They get a moment; then they are left alone, and the log says so. The task goes on after the next start."""
    journal, clock, calls, after = MemoryJournal(), FakeClock(), Stubborn(), ScriptedCalls()

    async def live() -> str:
        async with running_application(calls, journal=journal, clock=clock) as application:
            task_id = (await application.run(TaskRequest(call_schema("a")))).task_id
            await calls.running("a")
            return task_id

    living = asyncio.create_task(live())
    await calls.running("a")
    await calls.stays("a", running=True)
    clock.advance(2.9)
    await calls.stays("a", running=True)
    assert not living.done()
    clock.advance(0.1)
    task_id = await living
    assert "cancelled calls do not end" in caplog.text
    calls.answer("a", {"v": "lost"})
    async with running_application(after, journal=journal, first_id=1) as application:
        await after.running("a")
        after.answer("a", {"v": "1"})
        assert (await application.wait(task_id)).status == Status.SUCCEEDED
