"""Recovery: a task is rebuilt from its log, or given up."""

from dataclasses import replace
from typing import Any

import pytest
from support.driving import CallNode
from support.fakes import ListingCodec
from support.graphs import declare, edge, end, node, ref, start

from flowgram_runtime.engine.execution import Execution
from flowgram_runtime.engine.inputs import (
    CallFailed,
    CallSucceeded,
    Cancel,
    Input,
    Queue,
    Start,
    TimeOut,
    to_json,
)
from flowgram_runtime.engine.limits import Limits
from flowgram_runtime.engine.status import Status
from flowgram_runtime.journal.memory import MemoryJournal
from flowgram_runtime.journal.port import Batch, NewTask, TaskRecord, Write
from flowgram_runtime.library import Library
from flowgram_runtime.modeling import json_text
from flowgram_runtime.nodes.registry import Registry, pure_node_types
from flowgram_runtime.recovery import Diverged, give_up, rebuild
from flowgram_runtime.settings import RuntimeSettings

CODEC = ListingCodec()
TYPES = Registry([*pure_node_types(), CallNode("code")]).node_types


def calls(*ids: str) -> str:
    """Calls side by side, then end."""
    nodes = [start(x="integer"), *(node(name, "code", {"outputs": declare(v="string")}) for name in ids)]
    nodes.append(end(**{name: ("string", ref(name, "v")) for name in ids}))
    edges = [edge("start_0", name) for name in ids] + [edge(name, "end_0") for name in ids]
    return json_text.dumps({"nodes": nodes, "edges": edges})


class Recorded:
    """A task and its log, as a host writes them."""

    def __init__(self, schema: str, inputs: str = "{}", limits: Limits | None = None) -> None:
        self.journal = MemoryJournal()
        self.library = Library(TYPES, RuntimeSettings())
        self.limits = limits or Limits()
        self.batches: list[Batch] = []
        program = self.library.program(schema)
        self.execution = Execution(program, self.library.inputs(program, inputs), self.limits)
        digest = program.document.digest
        self.task = NewTask("task-1", create_time=1, schema_hash=digest, schema=schema, inputs=inputs)

    def step(self, given: Input | None = None, *, budget: int = 1000, at: int | None = None) -> None:
        """One step of the core: an input, or more of the work that is left."""
        first = self.execution.sequence + 1
        if given is not None:
            self.execution.apply(given)
        self.execution.advance(budget, at)
        events, _ = self.execution.take()
        cause = None if given is None else to_json(given)
        self.batches.append(
            Batch(first, self.execution.sequence, self.execution.now, cause, CODEC.encode(events))
        )

    async def written(self) -> TaskRecord:
        """The task as the journal has it."""
        await self.journal.commit(Write("task-1", accept=self.task, batches=tuple(self.batches), started=10))
        record = await self.journal.task("task-1")
        assert record is not None
        return record

    async def rebuilt(self) -> Execution:
        return await rebuild(await self.written(), self.library, self.limits, self.journal, CODEC)


def state(execution: Execution) -> tuple[Any, ...]:
    return (
        execution.status,
        execution.sequence,
        execution.now,
        execution.start_time,
        execution.has_work,
        execution.finished,
        [(call.key, call.inputs) for call in execution.running_calls()],
    )


HISTORIES: dict[str, list[Input]] = {
    "queued": [Queue(5)],
    "started": [Queue(5), Start(10)],
    "outcomes": [Start(10), CallSucceeded(20, "b", {"v": "B"}), CallSucceeded(15, "a", {"v": "A"})],
    "failed": [Start(10), CallFailed(20, "b", "no")],
    "canceled": [Start(10), CallSucceeded(20, "a", {}), Cancel(30, "enough")],
    "canceled in the queue": [Queue(5), Cancel(30, "")],
    "timed out": [Start(10), TimeOut(30, 20)],
}


@pytest.mark.parametrize("history", HISTORIES)
async def test_a_rebuilt_task_is_as_it_was(history: str) -> None:
    """Its status, its calls, its times, and all that is left to do."""
    recorded = Recorded(calls("a", "b", "c"))
    for given in HISTORIES[history]:
        recorded.step(given)
    again = await recorded.rebuilt()
    assert state(again) == state(recorded.execution)
    assert again.take() == ([], [])


async def test_a_rebuilt_task_goes_on_as_it_would_have() -> None:
    """The same inputs lead to the same events."""
    recorded = Recorded(calls("a", "b"))
    recorded.step(Start(10))
    recorded.step(CallSucceeded(20, "a", {"v": "A"}))
    again = await recorded.rebuilt()
    for execution in (recorded.execution, again):
        execution.apply(CallSucceeded(30, "b", {"v": "B"}))
        execution.advance(1000, 40)
    assert again.take()[0] == recorded.execution.take()[0]
    assert again.finished == recorded.execution.finished
    assert again.status is Status.SUCCEEDED


def looping(count: int) -> tuple[str, str]:
    """A loop without calls, and its inputs."""
    blocks = [node("first", "block-start"), node("last", "block-end")]
    loop = node(
        "loop", "loop", {"loopFor": ref("start_0", "items")}, blocks=blocks, edges=[edge("first", "last")]
    )
    items = {"type": "array", "items": {"type": "integer"}}
    edges = [edge("start_0", "loop"), edge("loop", "end_0")]
    schema = {"nodes": [start(items=items), loop, end()], "edges": edges}
    return json_text.dumps(schema), json_text.dumps({"items": list(range(count))})


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 1000])
async def test_steps_of_any_size_are_repeated(budget: int) -> None:
    """Also the last one, behind which work is left: it is left again."""
    recorded = Recorded(*looping(10))
    recorded.step(Start(10), budget=budget)
    for number in range(5):
        if recorded.execution.has_work:
            recorded.step(budget=budget, at=20 + number)
    again = await recorded.rebuilt()
    assert state(again) == state(recorded.execution)


async def test_a_cancel_between_two_steps_is_repeated_there() -> None:
    """What had been left undone stays undone."""
    recorded = Recorded(*looping(10))
    recorded.step(Start(10), budget=5)
    recorded.step(Cancel(20, "enough"))
    again = await recorded.rebuilt()
    assert state(again) == state(recorded.execution)
    assert again.status is Status.CANCELED


async def test_a_task_that_ends_by_a_limit_is_repeated() -> None:
    """The limits are those of the settings now; the same ones give the same end."""
    recorded = Recorded(*looping(10), limits=Limits(max_events=9))
    recorded.step(Start(10))
    assert recorded.execution.status is Status.FAILED
    assert state(await recorded.rebuilt()) == state(recorded.execution)


async def diverged(recorded: Recorded) -> str:
    with pytest.raises(Diverged) as caught:
        await recorded.rebuilt()
    return str(caught.value)


async def test_other_events_than_those_in_the_log() -> None:
    """Even one byte."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    last = recorded.batches[-1]
    recorded.batches[-1] = replace(last, events=last.events + b" ")
    assert await diverged(recorded) == "the events differ"


async def test_limits_that_are_others_now() -> None:
    """A lower limit ends the task earlier than its log says."""
    recorded = Recorded(*looping(10))
    recorded.step(Start(10))
    recorded.limits = Limits(max_events=9)
    assert await diverged(recorded) == "there is nothing left to do, and the log goes on"


async def test_a_log_that_goes_on_where_nothing_is_left_to_do() -> None:
    """This version would wait for a call."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    sequence = recorded.execution.sequence
    recorded.batches.append(Batch(sequence + 1, sequence + 1, 20, None, b"more"))
    assert await diverged(recorded) == "there is nothing left to do, and the log goes on"


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (to_json(CallSucceeded(20, "other", {})), "no call 'other' is running"),
        (to_json(Start(20)), "PROCESSING cannot follow PROCESSING"),
        ('["from a later version",20]', "not a recorded input"),
    ],
)
async def test_a_cause_that_cannot_be(cause: str, text: str) -> None:
    """An input that this version does not take there, or does not know."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    sequence = recorded.execution.sequence
    recorded.batches.append(Batch(sequence + 1, sequence + 1, 20, cause, b"more"))
    assert await diverged(recorded) == text


async def test_a_schema_that_is_no_longer_valid() -> None:
    """A later version may refuse what an earlier one took; so may settings."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    recorded.library = Library(TYPES, RuntimeSettings(max_nodes=1))
    assert await diverged(recorded) == "Workflow schema has 3 nodes, more than the limit max_nodes = 1"


async def test_a_schema_that_is_missing() -> None:
    """The journal has lost it."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    record = await recorded.written()
    with pytest.raises(Diverged, match="its schema is missing"):
        await rebuild(record, recorded.library, recorded.limits, MemoryJournal(), CODEC)


async def test_a_log_that_is_cut_short() -> None:
    """Fewer events than the record says."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    record = await recorded.written()
    other = Recorded(calls("a"))
    await other.journal.commit(Write("task-1", accept=other.task))
    with pytest.raises(Diverged, match="the log ends before its last event"):
        await rebuild(record, recorded.library, recorded.limits, other.journal, CODEC)


async def test_a_task_that_is_given_up_has_failed() -> None:
    """Its log says why, after all that happened."""
    recorded = Recorded(calls("a"))
    recorded.step(Start(10))
    record = await recorded.written()
    await give_up(record, "Task cannot go on", 99, recorded.journal, CODEC)
    ended = await recorded.journal.task("task-1")
    assert ended is not None
    assert (ended.status, ended.end_time, ended.last_sequence) == (
        Status.FAILED,
        99,
        record.last_sequence + 2,
    )
    assert ended.result == b"('FAILED', None, ['Task cannot go on'])"
    (batch,) = await recorded.journal.read("task-1", record.last_sequence, 1000)
    assert (batch.first_sequence, batch.last_sequence, batch.at, batch.cause) == (4, 5, 99, None)
    assert b"Task cannot go on" in batch.events
    assert batch.events.index(b"MessageLogged") < batch.events.index(b"TaskStatusChanged")
