"""Random events, and the messages that Protocol Buffers build of events."""

from typing import Any

from hypothesis import strategies as st

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.report_pb2 import Message, StatusInfo
from flowgram_core.engine.events import (
    Event,
    MessageLogged,
    MessageType,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.modeling.json_text import dumps
from flowgram_core.modeling.status import Status

AT = 1_700_000_000_123_456

times = st.integers(min_value=1, max_value=4_000_000_000_000_000) | st.just(AT)
names = st.text(max_size=12) | st.sampled_from(["llm_0", "loop_0[3]/llm_0", "é", "x" * 200])
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=8), json_values, max_size=4)
sequences = st.integers(min_value=1, max_value=2**40)
iterations = st.lists(st.tuples(names, st.integers(min_value=0, max_value=2**31 - 1)), max_size=3).map(tuple)


@st.composite
def times_of_a_run(draw: st.DrawFn) -> tuple[int, int, int | None]:
    at = draw(times)
    return draw(
        st.sampled_from([(at, at, at), (at, at, None), (at, at - 1, at), (at, 0, at), (at, at + 5, at)])
    )


@st.composite
def events(draw: st.DrawFn) -> Event:
    at, start_time, end_time = draw(times_of_a_run())
    sequence, status = draw(sequences), draw(st.sampled_from(Status))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return TaskStatusChanged(sequence, at, status, start_time, end_time, draw(st.none() | objects))
    if kind == 1:
        return MessageLogged(
            sequence, at, draw(names), draw(st.sampled_from(MessageType)), draw(names), draw(names)
        )
    return NodeStatusChanged(
        sequence,
        at,
        draw(names),
        status,
        start_time,
        end_time,
        draw(names),
        draw(iterations),
        draw(st.none() | objects),
        draw(st.none() | objects),
        draw(names),
        draw(names),
        draw(st.just("") | names),
    )


def timestamp(microseconds: int) -> dict[str, int]:
    return {"seconds": microseconds // 1_000_000, "nanos": microseconds % 1_000_000 * 1000}


def status_info(status: Status, start_time: int, end_time: int | None, at: int) -> StatusInfo:
    info = StatusInfo(status=status, terminated=status.terminated)
    if start_time:
        info.start_time.FromMicroseconds(start_time)
        info.time_cost.FromMicroseconds(max((at if end_time is None else end_time) - start_time, 0))
    if end_time is not None:
        info.end_time.FromMicroseconds(end_time)
    return info


def message(event: MessageLogged) -> Message:
    return Message(
        id=event.id, type=event.type, text=event.text, node_id=event.node_id, time=timestamp(event.at)
    )


def json_text(value: Any) -> str:
    return "" if value is None else dumps(value)


def built(event: Event) -> TaskEvent:
    """The event as Protocol Buffers build it."""
    wanted = TaskEvent(sequence=event.sequence, time=timestamp(event.at))
    if isinstance(event, MessageLogged):
        wanted.message.CopyFrom(message(event))
        return wanted
    info = status_info(event.status, event.start_time, event.end_time, event.at)
    if isinstance(event, TaskStatusChanged):
        wanted.task_status_changed.status.CopyFrom(info)
        wanted.task_status_changed.outputs = json_text(event.outputs)
        return wanted
    change = wanted.node_status_changed
    change.node_id = event.node_id
    change.status.CopyFrom(info)
    change.snapshot.id = event.snapshot_id
    change.snapshot.node_id = event.node_id
    for loop_node_id, index in event.iterations:
        change.snapshot.iterations.add(loop_node_id=loop_node_id, index=index)
    change.snapshot.inputs = json_text(event.inputs and Secrets().mask_inputs(event.inputs))
    change.snapshot.outputs = json_text(event.outputs and Secrets().mask_outputs(event.outputs))
    change.snapshot.branch = event.branch
    change.snapshot.error = event.error
    return wanted
