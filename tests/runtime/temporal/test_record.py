"""Records of steps, and the input and the state of a task: their formats in histories."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.engine.activations import CallSucceeded, Cancel
from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import PayloadUnreadable
from flowgram_core.temporal.record import Record, digest, split_digest
from flowgram_core.temporal.task_input import Continuation, Position, Shape, TaskInput

NUMBERS = st.integers(0, 2**63)


@given(
    status=st.sampled_from(Status),
    numbers=st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
    events=st.binary(max_size=50),
    result=st.binary(max_size=50),
)
def test_a_record_comes_back(
    status: Status, numbers: tuple[int, int, int, int], events: bytes, result: bytes
) -> None:
    """Whatever is recorded is read as it was."""
    record = Record(status, *numbers, events, result)
    assert Record.decode(record.encode()) == record


def test_a_record_of_another_release() -> None:
    """A history of a later release, and what is no record at all, are distinguished from records."""
    data = Record(Status.PROCESSING, 1, 2, 3, 4, b"events").encode()
    for broken in (b"\x02" + data[1:], data[:10], data[:-1], b""):
        with pytest.raises(PayloadUnreadable):
            Record.decode(broken)


def test_the_format_stays() -> None:
    """The bytes of version 1, as histories have them."""
    data = Record(Status.FAILED, 1, 2, 3, 4, b"ab", b"c").encode()
    assert data.hex() == (
        "0104000000000000000100000000000000020000000000000003000000000000000400000002616263"
    )
    assert split_digest(digest(data) + b"rest") == (digest(data), b"rest")


def test_a_task_comes_back() -> None:
    """The input of a workflow, with texts of any kind, and one that an older release wrote without a name."""
    task = TaskInput("{\ud800}", '{"x": 1}', 5, {"a": "\u00fc"}, 7, {"max_events": 3}, Shape(), "name")
    assert TaskInput.decode(task.encode()) == task
    older = task.encode().replace(b',"display_name":"name"', b"")
    assert TaskInput.decode(older) == task._replace(display_name="")
    for broken in (b"[]", b"{}", b"no", task.encode().replace(b'"version":1', b'"version":2')):
        with pytest.raises(PayloadUnreadable):
            TaskInput.decode(broken)


def test_bounds_that_an_older_task_was_begun_without() -> None:
    """Its history goes on without them: they would give other commands than those that are recorded."""
    bounded = Shape(step_work=1, continued_bytes=2, max_history_events=3, max_history_bytes=4)
    task = TaskInput("{}", "{}", None, {}, 7, None, bounded)
    fields = json.loads(task.encode())
    for name in ("step_work", "continued_bytes", "max_history_events", "max_history_bytes"):
        del fields["shape"][name]
    found = TaskInput.decode(json.dumps(fields).encode())
    assert found == task._replace(shape=Shape())
    assert found.shape.step_work == found.shape.continued_bytes == found.shape.max_history_events == UNLIMITED


def test_a_state_comes_back() -> None:
    """What a run of a workflow hands to the next one."""
    state = Continuation({"version": 1}, (CallSucceeded(1, "a", {"v": [1]}),), Cancel(2, "stop"))
    assert Continuation.decode(state.encode()) == state
    assert Continuation.decode(state._replace(interrupt=None).encode()).interrupt is None
    assert Position.decode(Position(3, 4).encode()) == Position(3, 4)
    for broken in (b"", b"[1]", b'{"version":1}'):
        with pytest.raises(PayloadUnreadable):
            Position.decode(broken)
        with pytest.raises(PayloadUnreadable):
            Continuation.decode(broken)
