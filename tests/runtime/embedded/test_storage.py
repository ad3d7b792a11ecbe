"""The storage budget: what is refused, what waits, and what goes on, by sizes that the test sets."""

import asyncio

import pytest
from support.applications import call_schema, collect, echo_schema, logged
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.journals import Fault, FaultyJournal

from flowgram_core.hosting.errors import StorageFull
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Usage
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status

SETTINGS = RuntimeSettings(
    max_journal_bytes=1000, disk_reserve_bytes=100, retention_age=0, retention_count=0, default_timeout=0
)
ROOM = Usage(0, 10_000)


class SizedJournal(MemoryJournal):
    """A journal of whatever size the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.size = ROOM

    async def usage(self) -> Usage:
        return self.size


async def measured(clock: FakeClock) -> None:
    """Lets the sizes be looked at once more."""
    clock.advance(1)
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        (Usage(900, 10_000), "max_journal_bytes = 1000"),
        (Usage(0, 100), "disk_reserve_bytes = 100"),
        (Usage(0, 0), "disk_reserve_bytes = 100"),
    ],
)
async def test_a_full_journal_takes_no_new_tasks(size: Usage, limit: str) -> None:
    """The error names the limit and says when to come back; a repeated request, reads and health say what they should."""
    journal, clock = SizedJournal(), FakeClock()
    async with running_application(journal=journal, clock=clock, settings=SETTINGS) as application:
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="r")
        first = await application.run(request)
        await application.check()
        journal.size = size
        await measured(clock)
        with pytest.raises(StorageFull, match=limit) as caught:
            await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        assert caught.value.retry_after > 0
        with pytest.raises(JournalUnavailable, match=limit):
            await application.check()
        assert (await application.run(request)).task_id == first.task_id
        assert await logged(application, first.task_id)
        journal.size = ROOM
        await measured(clock)
        await application.check()
        assert (await application.run(TaskRequest(echo_schema(), '{"x": 1}'))).status == Status.SUCCEEDED


async def test_a_level_ends_only_with_some_room() -> None:
    """One byte less is not enough: the level would come and go with each task."""
    journal, clock = SizedJournal(), FakeClock()
    async with running_application(journal=journal, clock=clock, settings=SETTINGS) as application:
        for used, refused in ((899, False), (900, True), (899, True), (860, True), (850, False)):
            journal.size = Usage(used, None)
            await measured(clock)
            try:
                await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
            except StorageFull:
                assert refused, used
            else:
                assert not refused, used


async def test_running_tasks_go_on_while_the_journal_is_full_and_wait_while_it_is_exhausted() -> None:
    """What a call gave is neither written nor lost: the task goes on when there is room."""
    journal, clock, calls = SizedJournal(), FakeClock(), ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock, settings=SETTINGS) as application:
        first, second = [(await application.run(TaskRequest(call_schema(name)))).task_id for name in "ab"]
        await calls.running("a", "b")
        journal.size = Usage(999, None)
        await measured(clock)
        calls.answer("a", {"v": "1"})
        assert (await application.wait(first)).status == Status.SUCCEEDED
        journal.size = Usage(1000, None)
        await measured(clock)
        watching = asyncio.create_task(collect(application, second))
        calls.answer("b", {"v": "1"})
        await measured(clock)
        assert (await application.task(second)).status == Status.PROCESSING
        assert not watching.done()
        journal.size = ROOM
        await measured(clock)
        assert (await application.wait(second)).status == Status.SUCCEEDED
        await watching


async def test_cancel_ends_a_task_that_waits_for_room() -> None:
    """So does a time-out: both write little, and may be what makes room."""
    journal, clock, calls = SizedJournal(), FakeClock(), ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock, settings=SETTINGS) as application:
        canceled = await application.run(TaskRequest(call_schema("a")))
        late = await application.run(TaskRequest(call_schema("b"), timeout=10_000_000))
        await calls.running("a", "b")
        journal.size = Usage(0, 50)
        await measured(clock)
        calls.answer("a", {"v": "1"})
        await measured(clock)
        assert await application.cancel(canceled.task_id, "") is True
        clock.advance(10)
        assert (await application.wait(late.task_id)).status == Status.FAILED


async def test_a_task_with_too_large_a_log_fails() -> None:
    """With a message that names the limit; its calls are stopped, and other tasks are not touched."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_task_log_bytes=2_000)
    async with running_application(calls, settings=settings) as application:
        task_id = (await application.run(TaskRequest(call_schema("a", "b")))).task_id
        other = (await application.run(TaskRequest(call_schema("c")))).task_id
        await calls.running("a", "b", "c")
        calls.answer("a", {"v": "x" * 3_000})
        await calls.stopped("b")
        while not Status((record := await application.task(task_id)).status).terminated:  # noqa: ASYNC110
            await asyncio.sleep(0)  # it is not active any more, so nothing tells
        assert record.status == Status.FAILED
        assert b"the limit max_task_log_bytes is 2000" in (record.result or b"")
        calls.answer("c", {"v": "1"})
        assert (await application.wait(other)).status == Status.SUCCEEDED


async def test_a_journal_that_cannot_be_written_is_not_healthy() -> None:
    """What is stored is served; new tasks are not taken."""
    journal = SizedJournal()
    journal.size = Usage(0, None, writable=False)
    async with running_application(journal=journal, settings=SETTINGS) as application:
        with pytest.raises(JournalUnavailable, match="cannot be written"):
            await application.check()


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_journal_that_fails_is_not_healthy_until_it_can_be_written(*, is_new: bool) -> None:
    """Whoever notices it first, a new task or one that runs; without any limits, and without anybody who tries."""
    failing, clock, calls = False, FakeClock(), ScriptedCalls()

    def plan(operation: str, number: int) -> Fault | None:
        return Fault.ERROR if failing and operation in {"commit", "extend_session"} else None

    settings = RuntimeSettings(
        max_journal_bytes=0, disk_reserve_bytes=0, retention_age=0, retention_count=0, default_timeout=0
    )
    journal = FaultyJournal(MemoryJournal(), plan)
    async with running_application(calls, journal=journal, clock=clock, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        failing = True
        if is_new:
            with pytest.raises(JournalUnavailable):
                await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        else:
            calls.answer("a", {})
        for _ in range(3):
            await measured(clock)
            with pytest.raises(JournalUnavailable, match="cannot be written"):
                await application.check()
        failing = False
        await measured(clock)
        await application.check()
