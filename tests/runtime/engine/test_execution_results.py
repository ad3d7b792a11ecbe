"""What an execution tells: how the task ended, times, identities, mistakes of node types, limits."""

from itertools import pairwise
from typing import Any

import pytest
from support.driving import CallNode, link_schema
from support.executions import calls, looping, started
from support.graphs import condition, constant, declare, edge, end, node, ref, start

from flowgram_core.engine.activations import CallFailed, CallSucceeded, Cancel, Queue, Start
from flowgram_core.engine.events import (
    Event,
    MessageLogged,
    MessageType,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import CallBehavior, NodeResult, PureBehavior
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.status import Status

# The end


def test_a_task_that_succeeded() -> None:
    """With its outputs and no errors."""
    execution = started(calls("a"))
    execution.apply(CallSucceeded(25, "a", {"v": "x"}))
    execution.advance(1000)
    finished = execution.finished
    assert finished is not None
    assert finished.status is execution.status is Status.SUCCEEDED
    assert (finished.outputs, finished.errors) == ({"a": "x"}, ())
    assert (finished.start_time, finished.end_time) == (10, 25)


def test_a_task_that_failed() -> None:
    """With its error messages in order, and no outputs."""
    execution = started(looping([1], node("a", "code")))
    execution.apply(CallFailed(25, "loop[0]/a", "no"))
    finished = execution.finished
    assert finished is not None
    assert (finished.status, finished.outputs) == (Status.FAILED, None)
    assert [(error.text, error.node_id, error.type) for error in finished.errors] == [
        ("no", "a", MessageType.ERROR),
        ("Loop block execute error", "loop", MessageType.ERROR),
    ]
    assert len({error.id for error in finished.errors}) == 2
    assert (finished.start_time, finished.end_time) == (10, 25)


def test_a_task_that_was_canceled_before_it_started() -> None:
    """It has an end, and never had a start; the reason is no error."""
    execution = calls("a")
    execution.apply(Queue(10))
    execution.apply(Cancel(20, "not needed"))
    finished = execution.finished
    assert finished is not None
    assert (finished.status, finished.errors, finished.start_time, finished.end_time) == (
        Status.CANCELED,
        (),
        0,
        20,
    )


# Times


def events_of(execution: Execution) -> list[Event]:
    return execution.take()[0]


def test_times_are_those_of_inputs_and_steps() -> None:
    """A node run that takes time starts and ends at different times; the task's start stays known."""
    execution = calls("a")
    execution.apply(Start(10))
    execution.advance(1000, 12)
    execution.apply(CallSucceeded(20, "a", {}))
    execution.advance(1000, 23)
    times = [
        (event.at, event.start_time, event.end_time)
        for event in events_of(execution)
        if not hasattr(event, "text")
    ]
    assert times == [
        (10, 10, None),  # the task starts
        (12, 12, 12),  # start
        (12, 12, None),  # a
        (20, 12, 20),  # a
        (23, 23, 23),  # end
        (23, 10, 23),  # the task ends
    ]
    assert execution.now == 23
    assert execution.start_time == 10


def test_the_time_never_goes_back() -> None:
    """An outcome that was timed before the last step happens now."""
    execution = started(calls("a"), at=50)
    execution.apply(CallSucceeded(40, "a", {}))
    assert [event.at for event in events_of(execution)] == [50] * 4
    execution.advance(1000, 45)
    assert {event.at for event in events_of(execution)} == {50}


def test_a_queued_task_has_no_start_time() -> None:
    """0 while it waits; then that of its start."""
    execution = calls("a")
    execution.apply(Queue(10))
    (queued,) = events_of(execution)
    assert queued == TaskStatusChanged(1, 10, Status.PENDING, 0, None, None)
    assert execution.start_time == 0
    execution.apply(Start(30))
    (begun,) = events_of(execution)
    assert begun == TaskStatusChanged(2, 30, Status.PROCESSING, 30, None, None)


# Identities


def test_snapshots_know_their_iterations() -> None:
    """Outermost first; the snapshot id says the same."""
    inner = node(
        "inner",
        "loop",
        {"loopFor": ref("start_0", "items")},
        blocks=[node("inner_first", "block-start"), node("inner_last", "block-end")],
        edges=[edge("inner_first", "inner_last")],
    )
    execution = started(looping([7, 8], inner))
    found = {
        event.snapshot_id: event.iterations
        for event in events_of(execution)
        if isinstance(event, NodeStatusChanged)
    }
    assert found["start_0"] == ()
    assert found["loop[1]/inner"] == (("loop", 1),)
    assert found["loop[1]/inner[0]/inner_last"] == (("loop", 1), ("inner", 0))
    assert len(found) == 3 + 2 * (3 + 2 * 2)


# Node types that are not as they should be


class Broken:
    """A node type whose own mistakes raise."""

    type = "broken"

    def __init__(self, *, makes_calls: bool) -> None:
        self._makes_calls = makes_calls

    def bind(self, node: Node) -> PureBehavior | CallBehavior:
        def run(scope: Any, inputs: Any) -> NodeResult:
            raise ZeroDivisionError("secret detail")

        def prepare(scope: Any, inputs: Any) -> dict[str, Any]:
            raise ZeroDivisionError("secret detail")

        return CallBehavior(prepare) if self._makes_calls else PureBehavior(run)


@pytest.mark.parametrize("makes_calls", [True, False])
def test_an_error_of_a_node_type_fails_its_node(makes_calls: bool) -> None:
    """With a text that tells users nothing of the inside; the host is notified."""
    data = {"inputs": declare(apiKey="string"), "inputsValues": {"apiKey": constant("sk-1")}}
    schema = {
        "nodes": [start(), node("a", "broken", data), end()],
        "edges": [edge("start_0", "a"), edge("a", "end_0")],
    }
    execution = started(Execution(link_schema(schema, Broken(makes_calls=makes_calls)), {}))
    assert execution.finished is not None
    assert [error.text for error in execution.finished.errors] == [
        "Node type broken failed with an internal error"
    ]
    ((node_id, inputs, error),) = execution.unexpected_errors
    assert (node_id, inputs, type(error)) == ("a", {"apiKey": "sk-1"}, ZeroDivisionError)


def test_a_node_type_of_another_package_runs_like_any_other() -> None:
    """The engine knows node types through their interface only."""
    schema = {
        "nodes": [start(), node("a", "tea"), end()],
        "edges": [edge("start_0", "a"), edge("a", "end_0")],
    }
    execution = started(Execution(link_schema(schema, CallNode("tea")), {}))
    assert [call.node.type for call in execution.running_calls()] == ["tea"]


# Limits


def test_iterations_up_to_the_limit_are_fine() -> None:
    """The limit itself is allowed."""
    assert started(looping([1, 2], limits=Limits(max_loop_iterations=2))).status is Status.SUCCEEDED
    assert started(looping([1, 2, 3], limits=Limits(max_loop_iterations=2))).status is Status.FAILED


def test_a_fan_beyond_the_limit_of_events_ends() -> None:
    """The limit holds for nodes side by side as for iterations one after the other, and is said once."""
    names = [f"if_{index}" for index in range(50)]
    schema = {
        "nodes": [
            start(x="integer"),
            *(condition(name, ref("start_0", "x"), "gt", 0) for name in names),
            end(),
        ],
        "edges": [
            *(edge("start_0", name) for name in names),
            *(edge(name, "end_0", port) for name in names for port in ("yes", "else")),
        ],
    }
    execution = started(Execution(link_schema(schema), {"x": 1}, Limits(max_events=10)))
    finished = execution.finished
    assert finished is not None
    assert [error.text for error in finished.errors] == [
        "Task has more events than the limit max_events = 10"
    ]


def test_what_a_loop_gives_has_the_type_of_its_items() -> None:
    """A second loop goes over the outputs of a first one, and compares them as the texts that they are."""
    texts = {"type": "array", "items": {"type": "string"}}

    def loop(name: str, items: dict[str, Any], *inner: dict[str, Any], **outputs: Any) -> dict[str, Any]:
        blocks = [node(f"{name}_first", "block-start"), *inner, node(f"{name}_last", "block-end")]
        edges = [edge(one["id"], other["id"]) for one, other in pairwise(blocks)]
        return node(name, "loop", {"loopFor": items, "loopOutputs": outputs}, blocks=blocks, edges=edges)

    check = node(
        "check",
        "condition",
        {
            "conditions": [
                {
                    "key": "yes",
                    "value": {
                        "left": ref("two_locals", "item"),
                        "operator": "contains",
                        "right": constant("b"),
                    },
                }
            ]
        },
    )
    two = loop("two", ref("one", "kept"), check)
    two["edges"] = [edge("two_first", "check"), edge("check", "two_last", "yes")]
    nodes = [
        start(items=texts),
        loop("one", ref("start_0", "items"), kept=ref("one_locals", "item")),
        two,
        end(),
    ]
    edges = [edge("start_0", "one"), edge("one", "two"), edge("two", "end_0")]
    execution = started(Execution(link_schema({"nodes": nodes, "edges": edges}), {"items": ["abc", "b"]}))
    assert execution.status is Status.SUCCEEDED


@pytest.mark.parametrize("most", range(1, 14))
def test_the_limit_of_events_is_exact(most: int) -> None:
    """Whatever the last event is of, the task fails right after it, unless it has ended or begun a loop by then."""
    execution = started(looping([1, 2], node("a", "variable"), limits=Limits(max_events=most)))
    events, _ = execution.take()
    messages = [event.sequence for event in events if isinstance(event, MessageLogged)]
    began = (
        next(event.sequence for event in events if getattr(event, "node_id", "") == "loop") if most > 2 else 0
    )
    if execution.status is Status.SUCCEEDED:
        assert most >= len(events) - 1
    else:
        assert messages == [max(most, 2) + (2 if max(most, 2) == began else 1)]
