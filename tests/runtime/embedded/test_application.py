"""The application on a journal in memory: acceptance, outcomes, cancel, time-out, limits."""

import asyncio
import hashlib
import time
from itertools import pairwise
from typing import Any

import pytest
from support.applications import call_schema, echo_schema, logged, shown, statuses
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.graphs import edge, end, node, ref, start

from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope
from flowgram_core.hosting.errors import (
    InvalidWorkflow,
    RequestConflict,
    TaskNotFound,
    TooManyTasks,
)
from flowgram_core.hosting.program_cache import Validation
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling import json_text
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.status import Status


async def test_a_small_workflow_has_ended_when_it_is_accepted() -> None:
    """Acceptance, run and end are one commit: the record that `run` gives is final."""
    async with running_application() as application:
        record = await application.run(TaskRequest(echo_schema(), '{"x": 7}'))
        assert record.status == Status.SUCCEEDED
        assert record.result == b"('SUCCEEDED', {'x': 7}, [])"
        assert (await application.wait(record.task_id)).result == record.result


async def test_problems_of_schema_and_inputs_are_reported_and_nothing_is_accepted() -> None:
    """A schema that is no JSON, and inputs that are none or do not fit, raise `InvalidWorkflow` with their place."""
    async with running_application() as application:
        for schema, inputs, path in (
            ("{", "{}", "schema"),
            (echo_schema(), "[1]", "inputs"),
            (echo_schema(), "{", "inputs"),
            (echo_schema(), '{"x": "no"}', "inputs.x"),
        ):
            with pytest.raises(InvalidWorkflow) as caught:
                await application.run(TaskRequest(schema, inputs))
            assert caught.value.problems[0].path == path
            assert (await application.validate(schema, inputs)).problems == caught.value.problems
        assert await application.validate(echo_schema(), "") == Validation()
        assert await application.tasks(limit=10, before=None, statuses=frozenset(), labels={}) == []


async def test_limits_of_size_are_errors_that_name_the_setting() -> None:
    """Schemas and inputs beyond their limits are refused, and the text names the limit."""
    settings = RuntimeSettings(max_inputs_bytes=20, max_nodes=2)
    async with running_application(settings=settings) as application:
        with pytest.raises(InvalidWorkflow, match="max_inputs_bytes = 20"):
            await application.run(TaskRequest(echo_schema(), '{"x": 1, "y": "a long text"}'))
        with pytest.raises(InvalidWorkflow, match="max_nodes = 2"):
            await application.run(TaskRequest(call_schema("code_0")))


async def test_cancel_stops_calls_and_ends_the_task() -> None:
    """A cancel interrupts the running calls; task and nodes are CANCELED; its reason is a message; once is enough."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a", "b")
        assert await application.cancel(record.task_id, "no longer needed")
        assert not await application.cancel(record.task_id, "")
        await calls.stopped("a", "b")
        batches = await logged(application, record.task_id)
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


async def test_an_error_of_a_node_type_is_reported_without_its_inside() -> None:
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


async def test_tasks_beyond_the_limit_wait_and_then_are_refused() -> None:
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
        log = statuses(await logged(application, second.task_id))
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
        assert statuses(await logged(application, waiting.task_id)) == ["task PENDING", "task CANCELED"]
        await application.run(TaskRequest(call_schema("c")))


async def test_a_request_id_makes_a_retry_safe() -> None:
    """The same content gives the same task, also at the same time; other content is a conflict."""
    async with running_application() as application:
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="r", labels={"a": "b"})
        records = await asyncio.gather(*(application.run(request) for _ in range(5)))
        assert len({record.task_id for record in records}) == 1
        with pytest.raises(RequestConflict):
            await application.run(TaskRequest(echo_schema(), '{"x": 2}', request_id="r"))


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


class RecordingJournal(MemoryJournal):
    """A journal that keeps how many bytes of events each commit had."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    def commit(self, write: Write) -> "asyncio.Future[None]":
        self.sizes.append(sum(len(batch.events) for batch in write.batches))
        return super().commit(write)


async def test_a_commit_has_bounded_bytes() -> None:
    """Whether a loop shows a large value again and again, or many large outcomes are there at once."""
    blocks = [node("first", "block-start"), node("last", "block-end")]
    declared = {"assign": [{"operator": "declare", "left": "v", "right": ref("start_0", "text")}]}
    blocks.insert(1, node("set", "variable", declared))
    loop = node("loop_0", "loop", {"loopFor": ref("start_0", "items")}, blocks=blocks,
                edges=[edge("first", "set"), edge("set", "last")])  # fmt: skip
    items = {"type": "array", "items": {"type": "integer"}}
    edges = [edge("start_0", "loop_0"), edge("loop_0", "end_0")]
    schema = json_text.dumps({"nodes": [start(items=items, text="string"), loop, end()], "edges": edges})
    inputs = json_text.dumps({"items": list(range(50)), "text": "x" * 10_000})
    journal, calls = RecordingJournal(), ScriptedCalls()
    settings = RuntimeSettings(step_bytes=50_000)
    async with running_application(calls, journal=journal, settings=settings) as application:
        record = await application.run(TaskRequest(schema, inputs))
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED
        keys = [f"c{number}" for number in range(20)]
        record = await application.run(TaskRequest(call_schema(*keys)))
        await calls.running(*keys)
        for key in keys:
            calls.answer(key, {"v": "x" * 10_000})
        # The end shows what all of them gave: one event that is large, and the end of the task.
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED
    assert max(journal.sizes[:-1]) < 50_000 + 15_000
    assert len(journal.sizes) > 10


class SlowNode:
    """A node type that computes for 0.2 ms and shows nothing of it."""

    type = "slow"

    def bind(self, node: Node) -> PureBehavior:
        def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
            until = time.perf_counter() + 0.0002
            while time.perf_counter() < until:
                pass
            return NodeResult({})

        return PureBehavior(run)


async def test_others_run_within_a_step() -> None:
    """What takes long is worked through in pieces, however small what it shows is, and committed together."""
    ids = [f"n{number}" for number in range(500)]
    edges = [edge(one, other) for one, other in pairwise(["start_0", *ids, "end_0"])]
    nodes = [start(), *(node(name, "slow") for name in ids), end()]
    journal, fairness = RecordingJournal(), 0

    async def have_slices() -> None:
        nonlocal fairness
        while True:
            fairness += 1
            await asyncio.sleep(0)

    async with running_application(SlowNode(), journal=journal) as application:
        others = asyncio.create_task(have_slices())
        record = await application.run(TaskRequest(json_text.dumps({"nodes": nodes, "edges": edges})))
        assert (await application.wait(record.task_id)).status == Status.SUCCEEDED
        others.cancel()
        log = await logged(application, record.task_id)
    assert max(batch.last_sequence - batch.first_sequence for batch in log) <= 26
    assert fairness >= len(log) > 10
    assert len(journal.sizes) < 5


async def test_a_task_with_too_many_events_fails() -> None:
    """The limit of events ends the task with a message that names it."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(limits=Limits(max_events=4))
    async with running_application(calls, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a", "b")
        calls.answer("a", {"v": "1"})
        assert b"max_events = 4" in ((await application.wait(record.task_id)).result or b"")


def test_equal_requests_have_equal_hashes() -> None:
    """The order of labels does not matter; everything else does."""
    request: dict[str, Any] = {"schema": "{}", "inputs": "{}"}
    one = TaskRequest(**request, labels={"a": "1", "b": "2"})
    other = TaskRequest(**request, labels={"b": "2", "a": "1"})
    assert one.content_hash() == other.content_hash()
    assert TaskRequest(**request, timeout=1).content_hash() != TaskRequest(**request).content_hash()
    assert TaskRequest(**request, display_name="x").content_hash() != TaskRequest(**request).content_hash()


def test_the_hash_of_a_request_lasts() -> None:
    """A request that a former version stored is still the same: without a name its hash has not changed."""
    request = TaskRequest("{}", "{}", labels={"a": "1"})
    assert request.content_hash() == hashlib.sha256(b'["{}","{}",null,[["a","1"]]]').digest()


async def test_long_inputs_are_reported_while_the_task_runs() -> None:
    """Running tasks do not keep them as text in memory, and the task shows them all the same."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        for length in (10, 100_000):
            inputs = json_text.dumps({"x": 1, "more": "x" * length})
            record = await application.run(TaskRequest(call_schema("a"), inputs))
            await calls.running("a")
            assert (await application.task(record.task_id)).inputs == inputs
            calls.answer("a", {"v": ""})
            await application.wait(record.task_id)
            assert (await application.task(record.task_id)).inputs == inputs
