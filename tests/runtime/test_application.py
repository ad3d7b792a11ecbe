"""The application on a journal in memory: acceptance, order of durability, cancel, time-out, admission, recovery."""

import asyncio
import re
from contextlib import aclosing
from typing import Any

import pytest
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.graphs import constant, declare, edge, end, node, ref, start

from flowgram_runtime.application import Application, Heartbeat, TaskRequest
from flowgram_runtime.engine.limits import Limits
from flowgram_runtime.engine.status import Status
from flowgram_runtime.errors import (
    InvalidWorkflow,
    RequestConflict,
    SequenceOutOfRange,
    ShuttingDown,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_runtime.feed import OutputDelta
from flowgram_runtime.journal.errors import JournalUnavailable
from flowgram_runtime.journal.memory import MemoryJournal
from flowgram_runtime.journal.port import Batch, Write
from flowgram_runtime.modeling import json_text
from flowgram_runtime.settings import RuntimeSettings


def echo_schema() -> str:
    """Start and end, giving back x."""
    nodes = [start(x="integer"), end(x=("integer", ref("start_0", "x")))]
    return json_text.dumps({"nodes": nodes, "edges": [edge("start_0", "end_0")]})


def call_schema(*ids: str, node_type: str = "code") -> str:
    """Calls side by side between start and end, giving what each call gives as v."""
    calls = [
        node(
            name,
            node_type,
            {
                "inputs": declare(apiKey="string"),
                "inputsValues": {"apiKey": constant("sk-12345678901234567890")},
                "outputs": declare(v="string"),
            },
        )
        for name in ids
    ]
    edges = [edge("start_0", name) for name in ids] + [edge(name, "end_0") for name in ids]
    nodes = [start(x="integer"), *calls, end(**{name: ("string", ref(name, "v")) for name in ids})]
    return json_text.dumps({"nodes": nodes, "edges": edges})


def shown(batches: list[Batch]) -> str:
    return "".join(batch.events.decode() for batch in batches)


def statuses(batches: list[Batch]) -> list[str]:
    """`node STATUS` or `task STATUS` of each event."""
    found = re.findall(
        r"(Task)StatusChanged\(.*?Status\.(\w+)|node_id='(\w+)', status=<Status\.(\w+)", shown(batches)
    )
    return [f"task {status}" if task else f"{name} {state}" for task, status, name, state in found]


async def reached(application: Application, task_id: str, sequence: int) -> None:
    """Returns once an event is shown."""
    async with aclosing(application.watch(task_id, 0)) as watch:
        async for item in watch:
            if isinstance(item, Batch) and item.last_sequence >= sequence:
                return


async def collect(application: Application, task_id: str, after: int = 0) -> list[Batch]:
    return [item async for item in application.watch(task_id, after) if isinstance(item, Batch)]


async def test_a_small_workflow_has_ended_when_it_is_accepted() -> None:
    """Acceptance, run and end are one commit: the record that `run` gives is final."""
    async with running_application() as application:
        record = await application.run(TaskRequest(echo_schema(), '{"x": 7}'))
        assert record.status == Status.SUCCEEDED
        assert record.result == b"('SUCCEEDED', {'x': 7}, [])"
        assert (await application.wait(record.task_id)).result == record.result


async def test_problems_of_schema_and_inputs_are_told_and_nothing_is_accepted() -> None:
    """A schema that is no JSON, and inputs that are none or do not fit, raise `InvalidWorkflow` with their place."""
    async with running_application() as application:
        for schema, inputs, path in (
            ("{", "{}", "schema"),
            (echo_schema(), "[1]", "inputs"),
            (echo_schema(), "{", "inputs"),
            (echo_schema(), '{"x": "no"}', "inputs"),
        ):
            with pytest.raises(InvalidWorkflow) as caught:
                await application.run(TaskRequest(schema, inputs))
            assert caught.value.problems[0].path == path
            assert application.validate(schema, inputs) == caught.value.problems
        assert application.validate(echo_schema(), "") == ()
        assert await application.tasks(limit=10, before=None, statuses=frozenset(), labels={}) == []


async def test_limits_of_size_are_errors_that_name_the_setting() -> None:
    """Schemas and inputs beyond their limits are refused, and the text names the limit."""
    settings = RuntimeSettings(max_inputs_bytes=20, max_nodes=2)
    async with running_application(settings=settings) as application:
        with pytest.raises(InvalidWorkflow, match="max_inputs_bytes = 20"):
            await application.run(TaskRequest(echo_schema(), '{"x": 1, "y": "a long text"}'))
        with pytest.raises(InvalidWorkflow, match="max_nodes = 2"):
            await application.run(TaskRequest(call_schema("code_0")))


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
        assert await collect(application, record.task_id) == await early
        assert await application.log(record.task_id) == await early
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
        assert [first, *[item async for item in watch]] == await application.log(record.task_id)


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


async def test_cancel_stops_calls_and_ends_the_task() -> None:
    """A cancel interrupts the running calls; task and nodes are CANCELED; its reason is a message; once is enough."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a", "b")
        assert await application.cancel(record.task_id, "no longer needed")
        assert not await application.cancel(record.task_id, "")
        await calls.stopped("a", "b")
        batches = await application.log(record.task_id)
        assert statuses(batches)[-3:] == ["a CANCELED", "b CANCELED", "task CANCELED"]
        assert "text='no longer needed'" in shown(batches)
        with pytest.raises(TaskNotFound):
            await application.cancel("nobody", "")


async def test_a_failing_call_fails_the_task_and_interrupts_the_others() -> None:
    """The failure's text is in snapshot, message and result; the other call is cancelled."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a", "b")
        calls.fail("b", "no sk-12345678901234567890 today")
        record = await application.wait(record.task_id)
        assert record.result == "('FAILED', None, ['no sk-…7890 today'])".encode()
        await calls.stopped("a")


async def test_a_mistake_of_a_node_type_is_told_without_its_inside() -> None:
    """An exception that is no `NodeError` fails the node with a text that gives nothing away."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        calls.fail("a", KeyError("/secret/path"))
        record = await application.wait(record.task_id)
        assert record.result == b"('FAILED', None, ['Node type code failed with an internal error'])"


async def test_outputs_beyond_the_limit_fail_the_node() -> None:
    """Outputs that are too large are an error that names the setting."""
    calls = ScriptedCalls()
    async with running_application(calls, settings=RuntimeSettings(max_output_bytes=1000)) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        calls.answer("a", {"v": "x" * 1000})
        record = await application.wait(record.task_id)
        assert b"max_output_bytes = 1000" in (record.result or b"")


async def test_a_task_times_out() -> None:
    """A task that runs for longer than it may is FAILED, with a message, and its calls are interrupted."""
    calls, clock = ScriptedCalls(), FakeClock()
    async with running_application(calls, clock=clock) as application:
        record = await application.run(TaskRequest(call_schema("a"), timeout=2_500_000))
        await calls.running("a")
        clock.advance(2.4)
        assert (await application.task(record.task_id)).status == Status.PROCESSING
        clock.advance(0.1)
        record = await application.wait(record.task_id)
        assert record.result == b"('FAILED', None, ['Task timed out after 2.5 s'])"
        await calls.stopped("a")


async def test_tasks_beyond_the_limit_wait_their_turn_and_then_are_refused() -> None:
    """One runs, one waits as PENDING, the third is refused; the waiting one starts when the first has ended."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1, max_waiting_tasks=1)
    async with running_application(calls, settings=settings) as application:
        first = await application.run(TaskRequest(call_schema("a")))
        second = await application.run(TaskRequest(call_schema("b"), request_id="again"))
        assert second.status == Status.PENDING
        with pytest.raises(TooManyTasks):
            await application.run(TaskRequest(call_schema("c")))
        same = await application.run(TaskRequest(call_schema("b"), request_id="again"))
        assert same.task_id == second.task_id
        await calls.running("a")
        calls.answer("a", {"v": ""})
        await calls.running("b")
        assert calls.made == ["a", "b"]
        calls.answer("b", {"v": ""})
        await application.wait(second.task_id)
        log = statuses(await application.log(second.task_id))
        assert log[:2] == ["task PENDING", "task PROCESSING"]
        assert (await application.task(first.task_id)).status == Status.SUCCEEDED


async def test_a_waiting_task_can_be_canceled() -> None:
    """Cancel of a PENDING task ends it; it never starts, and its place is free."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1, max_waiting_tasks=1)
    async with running_application(calls, settings=settings) as application:
        await application.run(TaskRequest(call_schema("a")))
        waiting = await application.run(TaskRequest(call_schema("b")))
        assert await application.cancel(waiting.task_id, "")
        assert statuses(await application.log(waiting.task_id)) == ["task PENDING", "task CANCELED"]
        await application.run(TaskRequest(call_schema("c")))


async def test_a_request_id_makes_a_retry_safe() -> None:
    """The same content gives the same task, also at the same time; other content is a conflict."""
    async with running_application() as application:
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="r", labels={"a": "b"})
        records = await asyncio.gather(*(application.run(request) for _ in range(5)))
        assert len({record.task_id for record in records}) == 1
        with pytest.raises(RequestConflict):
            await application.run(TaskRequest(echo_schema(), '{"x": 2}', request_id="r"))


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
        old_log = await application.log(record.task_id)
    async with running_application(after, journal=journal, settings=settings) as application:
        await after.running("b")
        assert after.made == ["b"]
        assert (await application.task(waiting.task_id)).status == Status.PENDING
        after.answer("b", {"v": "2"})
        record = await application.wait(record.task_id)
        assert record.result == b"('SUCCEEDED', {'a': '1', 'b': '2'}, [])"
        new_log = await application.log(record.task_id)
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
        clock.advance(1)
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


async def test_a_long_loop_lets_others_run() -> None:
    """Between two steps of a long pure run another task is accepted and ends."""
    blocks = [node("first", "block-start"), node("last", "block-end")]
    loop = node(
        "loop_0", "loop", {"loopFor": ref("start_0", "items")}, blocks=blocks, edges=[edge("first", "last")]
    )
    items = {"type": "array", "items": {"type": "integer"}}
    edges = [edge("start_0", "loop_0"), edge("loop_0", "end_0")]
    schema = json_text.dumps({"nodes": [start(items=items), loop, end()], "edges": edges})
    async with running_application(settings=RuntimeSettings(step_budget=10)) as application:
        long = await application.run(TaskRequest(schema, json_text.dumps({"items": list(range(1000))})))
        short = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        assert short.status == Status.SUCCEEDED
        assert (await application.task(long.task_id)).status == Status.PROCESSING
        assert await application.cancel(long.task_id, "") is True


async def test_a_task_with_too_many_events_fails() -> None:
    """The limit of events ends the task with a message that names it."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(limits=Limits(max_events=4))
    async with running_application(calls, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a", "b")
        calls.answer("a", {"v": "1"})
        assert b"max_events = 4" in ((await application.wait(record.task_id)).result or b"")


def quiet() -> RuntimeSettings:
    """Without retention, whose reads would meet the failing journal."""
    return RuntimeSettings(retention_age=0, retention_count=0)


class HeldJournal(MemoryJournal):
    """A journal that holds commits back until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.held = asyncio.Event()
        self._go_on = asyncio.Event()

    async def commit(self, write: Write) -> None:
        self.held.set()
        await self._go_on.wait()
        self._go_on.clear()
        await super().commit(write)

    def release(self) -> None:
        self._go_on.set()


class FailingJournal(MemoryJournal):
    """A journal whose next commits fail."""

    failures = 0

    async def commit(self, write: Write) -> None:
        if self.failures:
            self.failures -= 1
            raise JournalUnavailable("the disk is full")
        await super().commit(write)


def test_equal_requests_have_equal_hashes() -> None:
    """The order of labels does not matter; everything else does."""
    request: dict[str, Any] = {"schema": "{}", "inputs": "{}"}
    one = TaskRequest(**request, labels={"a": "1", "b": "2"})
    other = TaskRequest(**request, labels={"b": "2", "a": "1"})
    assert one.content_hash() == other.content_hash()
    assert TaskRequest(**request, timeout=1).content_hash() != TaskRequest(**request).content_hash()
