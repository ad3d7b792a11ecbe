"""Admission: how many tasks run, in which order the others follow, and what is refused."""

import asyncio
import random

import pytest
from support.applications import call_schema, echo_schema, logged, statuses
from support.cancelling import while_cancelled
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.restarts import AnsweringCalls

from flowgram_core.hosting.errors import ShuttingDown, TooManyTasks
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling import json_text
from flowgram_core.modeling.status import Status


async def test_waiting_tasks_start_in_the_order_of_their_acceptance() -> None:
    """First come, first served; a new task does not overtake those that wait."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=2)
    async with running_application(calls, settings=settings) as application:
        names = ["a", "b", "c", "d", "e"]
        for name in names:
            await application.run(TaskRequest(call_schema(name)))
        for done, next_one in zip(names, names[2:], strict=False):
            await calls.running(done)
            calls.answer(done, {"v": ""})
            await calls.running(next_one)
        assert calls.made == names


async def test_the_order_survives_a_restart() -> None:
    """Tasks that wait are durable and keep their turns; those that ran go on first."""
    journal, settings = MemoryJournal(), RuntimeSettings(max_running_tasks=1)
    before, after = ScriptedCalls(), ScriptedCalls()
    async with running_application(before, journal=journal, settings=settings) as application:
        for name in ("a", "b", "c"):
            await application.run(TaskRequest(call_schema(name)))
        await before.running("a")
    async with running_application(after, journal=journal, settings=settings, first_id=1) as application:
        await application.run(TaskRequest(call_schema("d")))
        for name in ("a", "b", "c", "d"):
            await after.running(name)
            after.answer(name, {"v": ""})
        assert after.made == ["a", "b", "c", "d"]


async def test_after_a_restart_with_fewer_places_running_tasks_all_go_on() -> None:
    """What ran is not stopped for a smaller limit; what waited starts when there are places again."""
    journal = MemoryJournal()
    before, after = ScriptedCalls(), ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=2)
    async with running_application(before, journal=journal, settings=settings) as application:
        for name in ("a", "b", "c"):
            await application.run(TaskRequest(call_schema(name)))
        await before.running("a", "b")
    settings = RuntimeSettings(max_running_tasks=1)
    async with running_application(after, journal=journal, settings=settings):
        await after.running("a", "b")
        after.answer("a", {"v": ""})
        await after.stays("c", running=False)
        after.answer("b", {"v": ""})
        await after.running("c")


async def test_too_many_tasks_are_refused_with_the_settings_and_a_time_to_come_back() -> None:
    """Beyond the bound of those that wait nothing is accepted, until one of them has left."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1, max_waiting_tasks=2)
    async with running_application(calls, settings=settings) as application:
        records = [await application.run(TaskRequest(call_schema(name))) for name in ("a", "b", "c")]
        with pytest.raises(TooManyTasks, match=r"max_running_tasks and max_waiting_tasks") as caught:
            await application.run(TaskRequest(call_schema("d")))
        assert caught.value.retry_after > 0
        assert len(await application.tasks(limit=10, before=None, statuses=frozenset(), labels={})) == 3
        assert await application.cancel(records[1].task_id, "")
        assert (await application.run(TaskRequest(call_schema("d")))).status == Status.PENDING


async def test_a_request_that_was_accepted_is_answered_also_when_nothing_is_taken() -> None:
    """A retry gets its task although the server is full, or shuts down."""
    settings = RuntimeSettings(max_running_tasks=1, max_waiting_tasks=0)
    async with running_application(ScriptedCalls(), settings=settings) as application:
        request = TaskRequest(call_schema("a"), request_id="again")
        task_id = (await application.run(request)).task_id
        assert (await application.run(request)).task_id == task_id
        await application.drain(0)
        assert (await application.run(request)).task_id == task_id
        with pytest.raises(ShuttingDown):
            await application.run(TaskRequest(call_schema("a"), request_id="new"))


async def test_draining_waits_for_what_runs_and_not_for_what_waits() -> None:
    """Tasks that wait do not start while the server drains, and do not hold it up; they start after the restart."""
    journal, calls, after = MemoryJournal(), ScriptedCalls(), ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1)
    async with running_application(calls, journal=journal, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a")))
        waiting = await application.run(TaskRequest(call_schema("b")))
        await calls.running("a")
        draining = asyncio.create_task(application.drain(3600))
        await asyncio.sleep(0)
        calls.answer("a", {"v": ""})
        await draining
        assert (await application.task(waiting.task_id)).status == Status.PENDING
        assert calls.made == ["a"]
    async with running_application(after, journal=journal, settings=settings):
        await after.running("b")


async def test_a_grace_ends_also_in_a_task_that_is_cancelled() -> None:
    """As by Ctrl-C, where the rest of what ends the application must still be done."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")

        await while_cancelled(lambda: application.drain(0.001))


async def test_a_waiting_task_is_canceled_also_after_a_restart() -> None:
    """It ends without ever having started."""
    journal, settings = MemoryJournal(), RuntimeSettings(max_running_tasks=1)
    async with running_application(ScriptedCalls(), journal=journal, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a")))
        waiting = await application.run(TaskRequest(call_schema("b")))
    async with running_application(ScriptedCalls(), journal=journal, settings=settings) as application:
        assert await application.cancel(waiting.task_id, "")
        assert not await application.cancel(waiting.task_id, "")
        assert statuses(await logged(application, waiting.task_id)) == ["task PENDING", "task CANCELED"]


async def test_calls_beyond_their_limits_wait_for_a_slot() -> None:
    """Over all tasks, and by node type; a type that waits for its own limit keeps no other type from its calls."""
    code, http = ScriptedCalls("code"), ScriptedCalls("http")
    settings = RuntimeSettings(max_calls=2, max_calls_by_type={"code": 1})
    async with running_application(code, http, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a", "b")))
        await code.running("a")
        await application.run(TaskRequest(call_schema("x", "y", node_type="http")))
        await http.running("x")
        await code.stays("b", running=False)
        await http.stays("y", running=False)
        code.answer("a", {"v": ""})
        await http.running("y")  # it was in line for a slot before "b", which had to wait for its type
        await code.stays("b", running=False)
        http.answer("x", {"v": ""})
        await code.running("b")


async def test_a_call_that_is_canceled_while_it_waits_leaves_no_slot_taken() -> None:
    """The slot goes to the next in line."""
    calls = ScriptedCalls()
    async with running_application(calls, settings=RuntimeSettings(max_calls=1)) as application:
        records = [await application.run(TaskRequest(call_schema(name))) for name in ("a", "b", "c")]
        await calls.running("a")
        assert await application.cancel(records[1].task_id, "")
        assert await application.cancel(records[0].task_id, "")
        await calls.running("c")
        assert calls.made == ["a", "c"]


async def test_a_thousand_tasks_pass_through_few_places() -> None:
    """All end, however many wait."""
    settings = RuntimeSettings(max_running_tasks=3)
    calls = AnsweringCalls(random.Random(1))  # noqa: S311 - it keeps no secrets
    async with running_application(calls, settings=settings, clock=FakeClock()) as application:
        requests = [TaskRequest(call_schema("a") if index % 2 else echo_schema()) for index in range(1000)]
        records = await asyncio.gather(*map(application.run, requests))
        ended = await asyncio.gather(*(application.wait(record.task_id) for record in records))
        assert {record.status for record in ended} == {Status.SUCCEEDED}


async def test_the_inputs_of_all_tasks_are_bounded() -> None:
    """Whether they run or wait; one that has ended, or that a former process left, counts as it should."""
    journal, settings = MemoryJournal(), RuntimeSettings(max_running_tasks=1, max_held_inputs_bytes=1000)

    def request(name: str, size: int) -> TaskRequest:
        return TaskRequest(call_schema(name), json_text.dumps({"x": 1, "more": "x" * size}))

    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, settings=settings) as application:
        first = await application.run(request("a", 400))
        await application.run(request("b", 400))
        with pytest.raises(TooManyTasks, match="max_held_inputs_bytes = 1000") as caught:
            await application.run(request("c", 400))
        assert caught.value.retry_after > 0
        await calls.running("a")
        calls.answer("a", {"v": ""})
        await application.wait(first.task_id)
        await calls.running("b")
        await application.run(request("c", 400))
    async with running_application(ScriptedCalls(), journal=journal, settings=settings, first_id=1) as again:
        with pytest.raises(TooManyTasks):
            await again.run(request("d", 400))
        await again.run(request("e", 1))


async def test_one_task_may_have_larger_inputs_than_all_may() -> None:
    """If it is alone: it could not be run at all otherwise."""
    settings = RuntimeSettings(max_held_inputs_bytes=10)
    async with running_application(settings=settings) as application:
        record = await application.run(TaskRequest(echo_schema(), '{"x": 1000000000}'))
        assert record.status == Status.SUCCEEDED
