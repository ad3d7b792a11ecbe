"""The rules of the core as a state machine: what it takes when, what it answers, and what it refuses."""

from typing import Any

import pytest
from support.driving import describe, link_schema
from support.executions import calls, looping, started
from support.graphs import declare, edge, end, node, ref, start

from flowgram_core.engine.activations import (
    Activation,
    CallFailed,
    CallSucceeded,
    Cancel,
    Queue,
    Start,
    TimeOut,
)
from flowgram_core.engine.errors import IllegalTransition, ProtocolError, UnknownCall
from flowgram_core.engine.events import NodeStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Call, CancelCall
from flowgram_core.modeling.status import Status


def snapshot(execution: Execution) -> tuple[Any, ...]:
    return (
        execution.status,
        execution.sequence,
        execution.now,
        execution.start_time,
        execution.has_work,
        execution.finished,
        execution.running_calls(),
    )


def refused(execution: Execution, given: Activation, error: type[ProtocolError]) -> str:
    """Applies an input that the rules forbid: it raises and changes nothing. Gives the text of the error."""
    execution.take()
    before = snapshot(execution)
    with pytest.raises(error) as caught:
        execution.apply(given)
    assert snapshot(execution) == before
    assert execution.take() == ([], [])
    return str(caught.value)


# What is refused


ANY_INPUT: list[Activation] = [
    Queue(99),
    Start(99),
    CallSucceeded(99, "a", {}),
    CallFailed(99, "a", "no"),
    Cancel(99, "no"),
    TimeOut(99, 1),
]


@pytest.mark.parametrize("given", ANY_INPUT, ids=lambda given: type(given).__name__)
def test_nothing_is_taken_after_the_end(given: Activation) -> None:
    """Whatever the host says of a task that has ended, it raises and changes nothing."""
    for last in (CallSucceeded(20, "a", {}), CallFailed(20, "a", "no"), Cancel(20, ""), TimeOut(20, 1)):
        execution = started(calls("a"))
        execution.apply(last)
        execution.advance(1000)
        assert execution.finished is not None
        refused(execution, given, ProtocolError)


def test_a_task_starts_once() -> None:
    """PROCESSING cannot follow PROCESSING, whether work is left or not."""
    execution = calls("a")
    execution.apply(Start(10))
    assert refused(execution, Start(20), IllegalTransition) == "PROCESSING cannot follow PROCESSING"
    execution.advance(1000)
    refused(execution, Start(20), IllegalTransition)


def test_only_a_new_task_can_be_queued() -> None:
    """Neither one that waits nor one that runs."""
    execution = calls("a")
    execution.apply(Queue(10))
    refused(execution, Queue(20), ProtocolError)
    refused(started(execution), Queue(20), ProtocolError)


def test_an_outcome_of_an_unknown_call() -> None:
    """One that never was, one that has ended, and a loop, which is no call."""
    execution = started(looping([1], node("a", "code")))
    assert refused(execution, CallSucceeded(20, "a", {}), UnknownCall) == "no call 'a' is running"
    refused(execution, CallSucceeded(20, "loop", {}), UnknownCall)
    refused(execution, CallFailed(20, "loop[1]/a", "no"), UnknownCall)
    other = started(calls("a", "b"))
    other.apply(CallSucceeded(20, "a", {}))
    other.advance(1000)
    refused(other, CallSucceeded(30, "a", {}), UnknownCall)
    refused(other, CallFailed(30, "a", "no"), UnknownCall)


def test_an_outcome_before_the_start() -> None:
    """No call is running yet."""
    refused(calls("a"), CallSucceeded(20, "a", {}), UnknownCall)


def test_an_outcome_while_work_is_left() -> None:
    """Outcomes wait until the core has done what earlier ones made possible."""
    execution = calls("a", "b")
    execution.apply(Start(10))
    refused(execution, CallSucceeded(20, "a", {}), ProtocolError)
    execution.advance(2)
    assert [call.key for call in execution.running_calls()] == ["a"]
    refused(execution, CallSucceeded(20, "a", {}), ProtocolError)
    execution.advance(1)
    execution.apply(CallSucceeded(20, "a", {}))


def test_an_outcome_while_the_task_is_failing() -> None:
    """What is left of the wave starts before the task ends."""
    schema = {
        "nodes": [start(x="integer"), node("a", "code"), node("bad", "teapot"), node("b", "code"), end()],
        "edges": [edge("start_0", name) for name in ("a", "bad", "b")]
        + [edge(name, "end_0") for name in ("a", "bad", "b")],
    }
    execution = Execution(link_schema(schema), {})
    execution.apply(Start(10))
    execution.advance(3)
    assert execution.has_work
    refused(execution, CallSucceeded(20, "a", {}), ProtocolError)
    execution.advance(1)
    assert execution.status is Status.FAILED


# Steps


def test_nothing_happens_by_itself() -> None:
    """A new execution has no events and no work; `advance` does nothing before the start."""
    execution = calls("a")
    assert execution.status is Status.PENDING
    assert not execution.has_work
    assert execution.advance(1000) == 0
    assert execution.take() == ([], [])
    assert execution.sequence == 0


def test_a_step_does_no_more_than_its_budget() -> None:
    """`advance` says how many node runs it did; the rest waits for the next step."""
    execution = looping(list(range(10)))
    execution.apply(Start(10))
    done = []
    while execution.has_work:
        done.append(execution.advance(3))
    assert execution.finished is not None
    assert set(done[:-1]) == {3}
    # Start, loop and end, and two marks for each item.
    assert sum(done) == 3 + 2 * 10


def test_a_budget_of_nothing_does_nothing() -> None:
    """What is ready stays ready."""
    execution = calls("a")
    execution.apply(Start(10))
    assert execution.advance(0) == 0
    assert execution.has_work
    assert execution.running_calls() == []


def test_cancel_is_taken_between_steps() -> None:
    """Work that is left is dropped."""
    execution = looping([1, 2, 3])
    execution.apply(Start(10))
    execution.advance(4)
    execution.apply(Cancel(20, "enough"))
    assert not execution.has_work
    assert execution.advance(1000) == 0
    assert execution.status is Status.CANCELED


def test_take_gives_everything_once() -> None:
    """Events and commands, in order, since the last time."""
    execution = started(calls("a", "b"))
    events, commands = execution.take()
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert [type(command) for command in commands] == [Call, Call]
    assert execution.take() == ([], [])
    execution.apply(CallSucceeded(20, "b", {"v": "B"}))
    events, commands = execution.take()
    assert [describe(event) for event in events] == [
        {"node": "b", "status": "SUCCEEDED", "outputs": {"v": "B"}}
    ]
    assert commands == []


# Commands


def test_a_call_carries_what_the_host_needs() -> None:
    """Its identity, the node with its data, and the prepared inputs."""
    schema = {
        "nodes": [
            start(x="integer"),
            node(
                "a",
                "code",
                {"inputs": declare(n="integer"), "inputsValues": {"n": ref("start_0", "x")}, "script": 1},
            ),
            end(),
        ],
        "edges": [edge("start_0", "a"), edge("a", "end_0")],
    }
    execution = started(Execution(link_schema(schema), {"x": 5}))
    _, commands = execution.take()
    (call,) = commands
    assert isinstance(call, Call)
    assert (call.key, call.node.id, call.node.data, call.inputs) == ("a", "a", {"script": 1}, {"n": 5})
    assert execution.running_calls() == [call]


def test_running_calls_come_in_the_order_of_their_start() -> None:
    """What a host makes again after a restart; calls that have ended are not among them."""
    execution = started(calls("c", "a", "b"))
    assert [call.key for call in execution.running_calls()] == ["c", "a", "b"]
    execution.apply(CallSucceeded(20, "a", {}))
    assert [call.key for call in execution.running_calls()] == ["c", "b"]


@pytest.mark.parametrize("stop", [Cancel(20, ""), TimeOut(20, 5), CallFailed(20, "a", "no")])
def test_calls_that_run_are_stopped(stop: Activation) -> None:
    """Whatever ends the task, those that the host knows of are stopped, but for the one that has ended itself."""
    execution = started(calls("a", "b", "c"))
    execution.take()
    execution.apply(stop)
    _, commands = execution.take()
    ended = {"a"} if isinstance(stop, CallFailed) else set()
    assert commands == [CancelCall(key) for key in ("a", "b", "c") if key not in ended]
    assert execution.running_calls() == []


def test_calls_that_the_host_has_not_seen_need_no_stop() -> None:
    """A call and the end of its task in one step: the host hears of neither."""
    execution = calls("a", "b")
    execution.apply(Start(10))
    execution.advance(2)
    execution.take()
    execution.advance(1)
    execution.apply(Cancel(20, ""))
    events, commands = execution.take()
    assert commands == [CancelCall("a")]
    assert [event.snapshot_id for event in events if isinstance(event, NodeStatusChanged)] == ["b", "a", "b"]
