"""How long tasks have run, over restarts and kills, by a clock that the test moves."""

import asyncio
from collections import Counter

import pytest
from support.applications import call_schema
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.journals import Fault, FaultyJournal, new_task

from flowgram_core.embedded.uptime import Uptime
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import ServerSession, Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status

TEN_SECONDS = 10_000_000
STEP = 1 / 16


async def let_pass(clock: FakeClock, seconds: float) -> None:
    """Moves the time on in small steps, each of which everybody has the time to react to."""
    for _ in range(round(seconds / STEP)):
        clock.advance(STEP)
        for _ in range(10):
            await asyncio.sleep(0)


async def start_task(journal: MemoryJournal, clock: FakeClock) -> str:
    """A task of ten seconds whose server is gone at the instant at which it started."""
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock) as application:
        record = await application.run(TaskRequest(call_schema("a"), timeout=TEN_SECONDS))
        await calls.running("a")
    return record.task_id


async def test_stops_cost_a_task_no_time_and_give_it_none() -> None:
    """Ten seconds over four servers, without any event, and with long times between them, are ten seconds."""
    journal, clock = MemoryJournal(), FakeClock()
    task_id = await start_task(journal, clock)
    for _ in range(3):
        clock.advance(1000)
        calls = ScriptedCalls()
        async with running_application(calls, journal=journal, clock=clock, first_id=1) as application:
            await calls.running("a")
            await let_pass(clock, 3.25)
            await application.drain(0)
    clock.advance(1000)
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock, first_id=2) as application:
        await calls.running("a")
        clock.advance(0.249)
        await calls.stays("a", running=True)
        clock.advance(0.001)
        assert b"timed out after 10 s" in ((await application.wait(task_id)).result or b"")


@pytest.mark.parametrize("life", [0.5, 2, 3.5])
async def test_a_task_times_out_in_a_crash_loop(life: float) -> None:
    """Servers that are killed, however soon: each kill gives a task less than a second."""
    journal, clock = MemoryJournal(), FakeClock()
    task_id = await start_task(journal, clock)
    lived, kills, record = 0.0, 0, await journal.task(task_id)
    while record is not None and record.status == Status.PROCESSING:
        assert lived < min(20, 10 + kills), "it should have timed out by now"
        clock.advance(100)
        calls = ScriptedCalls()
        async with running_application(calls, journal=journal, clock=clock, first_id=1):
            await calls.running("a")
            await let_pass(clock, life)
        lived, kills = lived + life, kills + 1
        record = await journal.task(task_id)
    assert record is not None
    assert record.status == Status.FAILED
    assert lived >= 10


async def test_a_journal_that_fails_for_a_while_is_reported_again(caplog: pytest.LogCaptureFixture) -> None:
    """What could not be recorded is once it can be; the log has one line of it, however long it takes."""
    inner, clock = MemoryJournal(), FakeClock()
    failing = True

    def plan(operation: str, number: int) -> Fault | None:
        return Fault.ERROR if failing and operation == "extend_session" else None

    task_id = await start_task(inner, clock)
    calls = ScriptedCalls()
    journal = FaultyJournal(inner, plan)
    async with running_application(calls, journal=journal, clock=clock, first_id=1):
        await calls.running("a")
        await let_pass(clock, 5)
        failing = False
        await let_pass(clock, 2)
    assert caplog.text.count("cannot record the server's uptime") == 1
    calls = ScriptedCalls()
    async with running_application(calls, journal=inner, clock=clock, first_id=2) as application:
        await calls.running("a")
        clock.advance(4)
        assert (await application.wait(task_id)).status == Status.FAILED


async def test_without_the_record_a_task_goes_on_with_all_its_time() -> None:
    """A journal that cannot tell of former lives keeps no server from starting, and no task from going on."""
    inner, clock = MemoryJournal(), FakeClock()
    task_id = await start_task(inner, clock)
    journal = FaultyJournal(inner, lambda name, number: Fault.ERROR if name == "begin_session" else None)
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock, first_id=1) as application:
        await calls.running("a")
        clock.advance(9.9)
        await calls.stays("a", running=True)
        clock.advance(0.1)
        assert (await application.wait(task_id)).status == Status.FAILED


async def test_only_what_is_needed_is_recorded() -> None:
    """Once a second, and never while no task with a time-out runs."""
    asked: Counter[str] = Counter()

    def count(operation: str, number: int) -> None:
        asked[operation] += 1

    calls, clock, journal = ScriptedCalls(), FakeClock(), FaultyJournal(MemoryJournal(), count)
    settings = RuntimeSettings(default_timeout=0)
    async with running_application(calls, journal=journal, clock=clock, settings=settings) as application:
        await application.run(TaskRequest(call_schema("free")))
        limited = await application.run(TaskRequest(call_schema("a"), timeout=TEN_SECONDS))
        await calls.running("free", "a")
        await let_pass(clock, 5)
        assert 5 <= asked["extend_session"] <= 10
        assert await application.cancel(limited.task_id, "")
        await let_pass(clock, 2)
        asked.clear()
        await let_pass(clock, 100)
        assert asked["extend_session"] == 0


async def test_time_is_counted_while_a_server_lived() -> None:
    """From any time on: the parts of all lives after it, the own one up to now."""
    journal, clock = MemoryJournal(), FakeClock()
    began = clock.now()
    for _ in range(3):
        uptime = Uptime(journal, clock)
        await uptime.begin()
        timer = uptime.call_at_age(began, 10**9, lambda: None, earlier=True)
        clock.advance(10)
        await uptime.record()
        timer.cancel()
        clock.advance(100)
        if not await journal.unfinished():  # else they would be forgotten
            await journal.commit(Write("task", accept=new_task("task"), started=began))
    assert uptime.since(began, earlier=True) == 130_000_000
    assert uptime.since(began + 5_000_000, earlier=True) == 125_000_000
    assert uptime.since(began + 50_000_000, earlier=True) == 120_000_000
    assert uptime.since(began + 225_000_000, earlier=False) == 105_000_000
    assert uptime.since(clock.now() + 1, earlier=False) == 0


async def test_a_clock_that_is_set_back_between_two_servers_shortens_no_task() -> None:
    """A new task has all its time; one that started before has what was left, whatever the two clocks say."""
    journal, ahead = MemoryJournal(), FakeClock()
    ahead.advance(100_000)
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=ahead) as application:
        old = await application.run(TaskRequest(call_schema("old"), timeout=TEN_SECONDS))
        await calls.running("old")
        await let_pass(ahead, 6)
        await application.drain(0)
    calls, clock = ScriptedCalls(), FakeClock()
    async with running_application(calls, journal=journal, clock=clock, first_id=1) as application:
        new = await application.run(TaskRequest(call_schema("new"), timeout=TEN_SECONDS))
        await calls.running("old", "new")
        clock.advance(3.9)
        await calls.stays("old", running=True)
        clock.advance(0.1)
        assert (await application.wait(old.task_id)).status == Status.FAILED
        clock.advance(5.9)
        await calls.stays("new", running=True)
        clock.advance(0.1)
        assert (await application.wait(new.task_id)).status == Status.FAILED


async def test_a_server_whose_clock_was_behind_counts_for_a_task_of_the_one_before() -> None:
    """Sessions are ordered as they followed each other: one that seems to lie before the task's start is counted."""
    journal, clock = MemoryJournal(), FakeClock()
    ahead = clock.now() + 10**12
    await journal.begin_session(ahead)
    await start_task(journal, FakeClock())
    await journal.extend_session(ServerSession(ahead, ahead + 2_000_000))
    second = Uptime(journal, clock)
    await second.begin()
    clock.advance(3)
    await second.record()
    third = Uptime(journal, clock)
    await third.begin()
    clock.advance(1)
    assert third.since(ahead + 500_000, earlier=True) == 1_500_000 + 3_000_000 + 1_000_000


@pytest.mark.parametrize("hours", [-5, 5])
async def test_a_clock_that_is_set_while_a_server_runs_costs_a_task_no_time(hours: int) -> None:
    """Neither those that run on nor those that start then have more or less than their time, also after a restart."""
    journal, clock = MemoryJournal(), FakeClock()
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock) as application:
        old = await application.run(TaskRequest(call_schema("old"), timeout=TEN_SECONDS))
        await calls.running("old")
        await let_pass(clock, 3)
        clock.set_by(3600 * hours)
        await let_pass(clock, 3)
        new = await application.run(TaskRequest(call_schema("new"), timeout=TEN_SECONDS))
        await calls.running("new")
        await let_pass(clock, 2)
        await application.drain(0)
    clock.advance(1000)
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, clock=clock, first_id=2) as application:
        await calls.running("old", "new")
        for left, record in ((2, old), (6, new)):
            await let_pass(clock, left - 1)
            assert not (await application.task(record.task_id)).ended
            await let_pass(clock, 1.5)
            assert (await application.wait(record.task_id)).status == Status.FAILED
