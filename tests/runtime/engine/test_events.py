"""Events as values: what makes them equal, and how they read."""

import gc

import pytest
from support.events import changed

from flowgram_core.engine.events import Event, Finished, NodeStatusChanged, TaskStatusChanged
from flowgram_core.modeling.status import Status

TASK = TaskStatusChanged(1, 10, Status.SUCCEEDED, 10, 10, {"x": 1})
NODE = NodeStatusChanged(
    2, 10, "a", Status.SUCCEEDED, 10, 10, "a", (("loop_0", 1),), {}, {"y": 2}, "yes", "", "loop_0[1]/"
)


@pytest.mark.parametrize("event", [TASK, NODE])
@pytest.mark.parametrize("field", ["sequence", "at", "start_time"])
def test_events_are_equal_if_all_their_fields_are(event: Event, field: str) -> None:
    """Whatever object they are; an event of another kind is none of them."""
    assert changed(event) == event
    assert changed(event) is not event
    assert hash(changed(event)) == hash(event)
    assert changed(event, **{field: 11}) != event
    assert TASK != NODE
    assert event != tuple(repr(event))


def test_a_run_in_an_iteration_is_named_by_the_iteration_and_its_node() -> None:
    """The prefix and the key together are its identity: where they are cut makes no other event of it."""
    assert NODE.snapshot_id == "loop_0[1]/a"
    whole = NodeStatusChanged(
        2, 10, "a", Status.SUCCEEDED, 10, 10, "loop_0[1]/a", (("loop_0", 1),), {}, {"y": 2}, "yes", ""
    )
    assert whole == NODE
    assert changed(NODE, branch="else") != NODE


def test_events_show_their_fields_by_name() -> None:
    """As dataclasses do."""
    assert repr(TASK) == (
        "TaskStatusChanged(sequence=1, at=10, status=<Status.SUCCEEDED: 3>, start_time=10, end_time=10, outputs={'x': 1})"
    )
    assert "snapshot_id='loop_0[1]/a'" in repr(NODE)


def test_results_are_equal_if_all_their_fields_are() -> None:
    """A replay comes to the same."""
    finished = Finished(Status.SUCCEEDED, {"x": 1}, (), 1, 2)
    assert finished == Finished(Status.SUCCEEDED, {"x": 1}, (), 1, 2)
    assert finished != Finished(Status.SUCCEEDED, {"x": 2}, (), 1, 2)


def test_what_an_event_holds_is_freed_with_it() -> None:
    """Without a look of the garbage collector."""

    class Value(dict[str, int]):
        freed = 0

        def __del__(self) -> None:
            Value.freed += 1

    gc.disable()
    try:
        event = changed(NODE, inputs=Value(), outputs=Value())
        assert event.inputs == {}
        del event
        assert Value.freed == 2
    finally:
        gc.enable()
