"""Properties of the core that hold for every workflow and every order of events."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.driving import Driven, drive, link_schema
from support.graphs import workflows

from flowgram_core.engine.activations import CallSucceeded, Cancel, from_json, to_json
from flowgram_core.engine.events import Event, NodeStatusChanged, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.engine.node_type import Call
from flowgram_core.engine.program import Program
from flowgram_core.engine.transitions import NODE_TRANSITIONS, TASK_TRANSITIONS
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.status import Status


def answer(call: Call) -> dict[str, Any]:
    return {"v": call.key}


def random_order(data: st.DataObject) -> Any:
    return lambda calls: data.draw(st.integers(0, len(calls) - 1))


def runs(driven: Driven) -> set[tuple[str, str, str]]:
    return {
        (event.snapshot_id, event.status.name, event.branch)
        for event in driven.events
        if isinstance(event, NodeStatusChanged) and event.status.terminated
    }


def replayed(program: Program, inputs: Any, driven: Driven) -> list[Event]:
    """The events that the log gives again, step by step; it ends as it did."""
    again = Execution(program, inputs)
    repeated: list[Event] = []
    for cause, events in driven.log:
        if cause is not None:
            again.apply(from_json(to_json(cause)))
        while again.sequence < (events[-1].sequence if events else 0):
            assert again.advance(1) == 1 or again.finished is not None
        repeated += again.take()[0]
    assert again.finished == driven.execution.finished
    return repeated


def shown_size(event: Event) -> int:
    """About how long the inputs and outputs are that an event shows."""
    if not isinstance(event, NodeStatusChanged):
        return 0
    return sum(size_of(shown, UNLIMITED) for shown in (event.inputs, event.outputs) if shown)


@given(workflows(), st.data())
def test_any_order_of_completion_gives_the_same_outputs_and_runs(workflow: Any, data: st.DataObject) -> None:
    """Which call ends first decides neither the outputs nor which nodes run, nor what they give."""
    schema, inputs = workflow
    program = link_schema(schema)
    orderly = drive(program, inputs, answer)
    random = drive(program, inputs, answer, random_order(data))
    assert orderly.execution.finished is not None
    assert random.execution.finished is not None
    assert orderly.execution.finished.status is Status.SUCCEEDED
    assert random.execution.finished.outputs == orderly.execution.finished.outputs
    assert runs(random) == runs(orderly)


@given(workflows(), st.data(), st.integers(1, 20))
def test_a_replay_of_the_log_gives_the_same_events(workflow: Any, data: st.DataObject, budget: int) -> None:
    """Feeding the recorded inputs to a new execution, through their JSON text, repeats every event exactly."""
    schema, inputs = workflow
    program = link_schema(schema)
    stop_after = data.draw(st.one_of(st.none(), st.integers(1, 30)))
    driven = drive(
        program,
        inputs,
        answer,
        random_order(data),
        budget=budget,
        stop_after=stop_after,
        stop=Cancel(99, "enough"),
    )
    assert replayed(program, inputs, driven) == driven.events


@given(workflows(), st.integers(1, 5))
def test_the_size_of_steps_changes_nothing(workflow: Any, budget: int) -> None:
    """However little the core does at a time, the events are the same."""
    schema, inputs = workflow
    program = link_schema(schema)
    assert drive(program, inputs, answer, budget=budget).events == drive(program, inputs, answer).events


@given(workflows(), st.data(), st.integers(1, 3000))
def test_a_step_shows_no_more_than_its_bytes_and_one_event(
    workflow: Any, data: st.DataObject, max_bytes: int
) -> None:
    """However large the outcomes of calls are; and the events are those of longer steps, as is a replay."""
    schema, inputs = workflow
    program = link_schema(schema)
    lengths: dict[str, int] = {}

    def large(call: Call) -> dict[str, Any]:
        return {"v": "x" * lengths.setdefault(call.key, data.draw(st.integers(0, 2000)))}

    driven = drive(program, inputs, large, max_bytes=max_bytes)
    for cause, events in driven.log:
        # An outcome is an event of its own, which its call has made large.
        sizes = [shown_size(event) for event in events[isinstance(cause, CallSucceeded) :]]
        assert sum(sizes) - max(sizes, default=0) <= max_bytes
    assert drive(program, inputs, large).events == driven.events
    assert replayed(program, inputs, driven) == driven.events


@given(workflows(), st.data())
def test_events_are_numbered_and_keep_the_transition_tables(workflow: Any, data: st.DataObject) -> None:
    """Sequences are 1, 2, 3 …; every status follows from the one before; nothing follows the end of the task."""
    schema, inputs = workflow
    stop_after = data.draw(st.one_of(st.none(), st.integers(1, 20)))
    driven = drive(
        link_schema(schema), inputs, answer, random_order(data), stop_after=stop_after, stop=Cancel(99, "")
    )
    assert [event.sequence for event in driven.events] == list(range(1, len(driven.events) + 1))
    task = Status.PENDING
    nodes: dict[str, Status] = {}
    for event in driven.events:
        assert not task.terminated
        if isinstance(event, TaskStatusChanged):
            assert event.status in TASK_TRANSITIONS[task]
            task = event.status
        elif isinstance(event, NodeStatusChanged):
            assert event.status in NODE_TRANSITIONS[nodes.get(event.snapshot_id, Status.PENDING)]
            nodes[event.snapshot_id] = event.status
    assert task.terminated
    assert all(status.terminated for status in nodes.values())


@given(workflows(), st.integers(1, 20))
def test_cancel_stops_every_running_call(workflow: Any, stop_after: int) -> None:
    """After a cancel no call is left running, and those that were are asked to stop."""
    schema, inputs = workflow
    driven = drive(link_schema(schema), inputs, answer, stop_after=stop_after, stop=Cancel(99, ""))
    canceled = {
        event.snapshot_id
        for event in driven.events
        if isinstance(event, NodeStatusChanged) and event.status is Status.CANCELED
    }
    assert driven.execution.running_calls() == []
    assert set(driven.canceled) <= canceled
