"""Time-outs of tasks and of calls, by a clock that the test moves."""

import asyncio
from typing import Any

from support.applications import call_schema, reached
from support.fakes import FakeClock, ScriptedCalls, running_application

from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import DAY, RuntimeSettings
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext


async def test_a_task_that_names_no_time_out_has_the_default() -> None:
    """The setting's time, from when it started."""
    calls, clock = ScriptedCalls(), FakeClock()
    settings = RuntimeSettings(default_timeout=30)
    async with running_application(calls, clock=clock, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        clock.advance(29.9)
        assert (await application.task(record.task_id)).status == Status.PROCESSING
        clock.advance(0.1)
        record = await application.wait(record.task_id)
        assert record.result == b"('FAILED', None, ['Task timed out after 30 s'])"


async def test_without_a_default_a_task_may_run_for_ever() -> None:
    """Zero stands for no limit."""
    calls, clock = ScriptedCalls(), FakeClock()
    settings = RuntimeSettings(default_timeout=0)
    async with running_application(calls, clock=clock, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        clock.advance(1000 * DAY)
        await calls.stays("a", running=True)
        calls.answer("a", {"v": ""})
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED


async def test_the_time_of_a_task_begins_when_it_starts() -> None:
    """Waiting for its turn is not part of it, also not across a restart."""
    journal, clock = MemoryJournal(), FakeClock()
    before, after = ScriptedCalls(), ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1)
    async with running_application(before, journal=journal, clock=clock, settings=settings) as application:
        first = await application.run(TaskRequest(call_schema("a")))
        second = await application.run(TaskRequest(call_schema("b"), timeout=10_000_000))
        clock.advance(100)
    clock.advance(100)
    async with running_application(after, journal=journal, clock=clock, settings=settings) as application:
        await after.running("a")
        assert await application.cancel(first.task_id, "")
        await after.running("b")
        clock.advance(9)
        await after.stays("b", running=True)
        clock.advance(1)
        assert (await application.wait(second.task_id)).status == Status.FAILED


async def test_what_is_left_after_a_restart_may_be_next_to_nothing() -> None:
    """A microsecond later the task times out, whatever its calls do."""
    journal, clock = MemoryJournal(), FakeClock()
    before, after = ScriptedCalls(), ScriptedCalls()
    async with running_application(before, journal=journal, clock=clock) as application:
        record = await application.run(TaskRequest(call_schema("a", "b"), timeout=10_000_000))
        await before.running("a", "b")
        clock.advance(9.999999)
        before.answer("a", {"v": "1"})
        await reached(application, record.task_id, 5)
    async with running_application(after, journal=journal, clock=clock) as application:
        await after.running("b")
        clock.advance(0.000001)
        assert b"timed out after 10 s" in ((await application.wait(record.task_id)).result or b"")


async def test_a_call_times_out_by_its_node_type() -> None:
    """The node fails with a text that names the setting, its call is stopped; other types have no such limit."""
    code, http, clock = ScriptedCalls("code"), ScriptedCalls("http"), FakeClock()
    settings = RuntimeSettings(call_timeouts={"code": 5})
    async with running_application(code, http, clock=clock, settings=settings) as application:
        limited = await application.run(TaskRequest(call_schema("a")))
        free = await application.run(TaskRequest(call_schema("x", node_type="http")))
        await code.running("a")
        await http.running("x")
        clock.advance(4.9)
        await code.stays("a", running=True)
        clock.advance(0.1)
        await code.stopped("a")
        text = b'Node timed out after 5 s (setting call_timeouts, node type "code")'
        assert text in ((await application.wait(limited.task_id)).result or b"")
        clock.advance(3600)
        await http.stays("x", running=True)
        assert await application.cancel(free.task_id, "")


async def test_the_time_of_a_call_begins_with_its_slot() -> None:
    """Waiting for other calls is not part of it."""
    calls, clock = ScriptedCalls(), FakeClock()
    settings = RuntimeSettings(call_timeouts={"code": 5}, max_calls=1)
    async with running_application(calls, clock=clock, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a")))
        record = await application.run(TaskRequest(call_schema("b")))
        await calls.running("a")
        clock.advance(4)
        calls.answer("a", {"v": ""})
        await calls.running("b")
        clock.advance(4)
        await calls.stays("b", running=True)
        calls.answer("b", {"v": ""})
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED


async def test_a_call_that_is_made_again_after_a_restart_has_all_its_time() -> None:
    """Its limit is for one attempt."""
    journal, clock, settings = MemoryJournal(), FakeClock(), RuntimeSettings(call_timeouts={"code": 5})
    before, after = ScriptedCalls(), ScriptedCalls()
    async with running_application(before, journal=journal, clock=clock, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await before.running("a")
        clock.advance(4)
    async with running_application(after, journal=journal, clock=clock, settings=settings) as application:
        await after.running("a")
        clock.advance(4)
        await after.stays("a", running=True)
        clock.advance(1)
        assert b"timed out" in ((await application.wait(record.task_id)).result or b"")


class Leaking(ScriptedCalls):
    """Calls that raise what only the host may mean."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        raise self._error


async def test_what_a_node_type_lets_out_is_not_taken_for_the_hosts_own() -> None:
    """A time-out or a cancellation that comes from within is a mistake of the node type, and fails its node."""
    for error in (TimeoutError(), asyncio.CancelledError()):
        settings = RuntimeSettings(call_timeouts={"code": 5})
        async with running_application(Leaking(error), settings=settings) as application:
            record = await application.run(TaskRequest(call_schema("a")))
            record = await application.wait(record.task_id)
            assert record.result == b"('FAILED', None, ['Node type code failed with an internal error'])"
