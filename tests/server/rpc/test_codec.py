"""The codec is compared with Protocol Buffers: the same events, built as messages, must read the same."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import changed

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.report_pb2 import Message, StatusInfo
from flowgram.runtime.v1.runtime_service_pb2 import TaskResultResponse, WatchTaskResponse
from flowgram_core.engine.events import (
    Event,
    Finished,
    MessageLogged,
    MessageType,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.modeling.json_text import dumps, loads
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.codec import Codec, encode_delta, split, to_basic, without_first

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


def node_event(sequence: int = 1, **given: Any) -> NodeStatusChanged:
    event = NodeStatusChanged(
        sequence, AT, "llm_0", Status.SUCCEEDED, AT, AT, "llm_0", (), {"a": 1}, {"b": 2}, "", ""
    )
    return changed(event, **given)


@pytest.fixture
def codec() -> Codec:
    return Codec(Secrets())


@given(st.lists(events(), max_size=6))
def test_events_are_what_protobuf_reads(batch: list[Event]) -> None:
    """A batch of any events reads as the response that Protocol Buffers would have built of them."""
    codec = Codec(Secrets())
    wanted = WatchTaskResponse(events=[built(event) for event in batch])
    assert WatchTaskResponse.FromString(codec.encode(batch)) == wanted
    assert WatchTaskResponse.FromString(codec.encode(batch)) == wanted  # also from what the codec remembers


@given(st.lists(events(), max_size=4), st.lists(events(), max_size=4))
def test_batches_join_to_a_response(first: list[Event], second: list[Event]) -> None:
    """Two batches one after the other are the batch of all their events, to the byte."""
    codec = Codec(Secrets())
    assert codec.encode(first) + codec.encode(second) == codec.encode([*first, *second])


@given(st.lists(events(), max_size=5))
def test_another_codec_gives_the_same_bytes(batch: list[Event]) -> None:
    """Bytes depend on the events alone: a replay is compared with what is stored."""
    used = Codec(Secrets())
    used.encode([node_event(sequence) for sequence in range(1, 5)])
    assert used.encode(batch) == Codec(Secrets()).encode(batch)


@given(st.lists(st.tuples(st.sampled_from(["", "yes", "else"]), st.booleans(), st.booleans()), max_size=6))
def test_runs_without_values_are_what_protobuf_reads(runs: list[tuple[str, bool, bool]]) -> None:
    """What a node has in common with its last run is remembered, but never its branch, its loop or its error."""
    node_id = "a"
    batch: list[Event] = [
        NodeStatusChanged(
            sequence,
            AT,
            node_id,
            Status.SUCCEEDED,
            AT,
            AT,
            node_id,
            (("loop_0", 1),) if in_loop else (),
            {},
            {},
            branch,
            "wrong" if is_wrong else "",
            "loop_0[1]/" if in_loop else "",
        )
        for sequence, (branch, in_loop, is_wrong) in enumerate(runs, 1)
    ]
    wanted = WatchTaskResponse(events=[built(event) for event in batch])
    assert Codec(Secrets()).encode(batch) == wanted.SerializeToString()


def test_more_nodes_than_are_remembered(codec: Codec) -> None:
    """A server that sees ever new node ids encodes them all, and keeps a bounded number."""
    for number in range(25_000):
        event = node_event(node_id=f"node_{number}")
        assert f"node_{number}".encode() in codec.encode([event])
    assert len(codec._nodes) <= 10_000


@given(
    st.sampled_from([Status.SUCCEEDED, Status.FAILED, Status.CANCELED]),
    st.none() | objects,
    st.lists(events().filter(lambda event: isinstance(event, MessageLogged)), max_size=3),
    st.sampled_from([(0, AT), (AT - 5, AT), (AT + 5, AT)]),
)
def test_results_are_what_protobuf_reads(
    status: Status, outputs: dict[str, Any] | None, errors: list[MessageLogged], span: tuple[int, int]
) -> None:
    """A result reads as the answer that Protocol Buffers would have built of it."""
    start_time, end_time = span
    encoded = Codec(Secrets()).encode_result(Finished(status, outputs, tuple(errors), start_time, end_time))
    assert TaskResultResponse.FromString(encoded) == TaskResultResponse(
        status=status_info(status, start_time, end_time, end_time),
        outputs=json_text(outputs),
        errors=[message(error) for error in errors],
    )


def test_lone_surrogates_become_replacement_characters(codec: Codec) -> None:
    """Half of a surrogate pair in any text field is replaced; in JSON it stays, as an escape."""
    event = node_event(
        node_id="n\ud800",
        snapshot_id="s\ud800",
        iterations=(("l\ud800", 1),),
        inputs={"k": "\ud800"},
        branch="b\ud800",
        error="e\ud800",
    )
    log = MessageLogged(2, AT, "m\ud800", MessageType.LOG, "t\ud800", "n\ud800")
    first, second = WatchTaskResponse.FromString(codec.encode([event, log])).events
    snapshot = first.node_status_changed.snapshot
    assert (snapshot.id, snapshot.node_id, snapshot.branch, snapshot.error) == ("s�", "n�", "b�", "e�")
    assert snapshot.iterations[0].loop_node_id == "l�"
    assert snapshot.inputs == '{"k":"\\ud800"}'
    assert (second.message.id, second.message.text, second.message.node_id) == ("m�", "t�", "n�")


def test_secrets_in_inputs_are_masked(codec: Codec) -> None:
    """Keys and authorization headers are masked in a snapshot's inputs; the event itself is left as it is."""
    inputs = {
        "apiKey": "sk-0123456789abcdef3f2a",
        "headers": {"Authorization": "Bearer 0123456789abcd", "X": "y"},
    }
    event = node_event(inputs=inputs)
    encoded = codec.encode([event])
    (received,) = WatchTaskResponse.FromString(encoded).events
    shown = loads(received.node_status_changed.snapshot.inputs)
    assert shown == {"apiKey": "sk-…3f2a", "headers": {"Authorization": "Bea…abcd", "X": "y"}}
    assert b"456789" not in encoded
    assert event.inputs is inputs
    assert inputs["apiKey"] == "sk-0123456789abcdef3f2a"


def test_secrets_in_outputs_are_masked_in_snapshots_only(codec: Codec) -> None:
    """Cookies in the headers of an answer are masked where a node's run is shown; the outputs of a task are what they are."""
    outputs = {"headers": {"set-cookie": "session=0123456789abcd", "x": "y"}, "apiKey": "not an input"}
    run = node_event(outputs=outputs)
    end = TaskStatusChanged(2, AT, Status.SUCCEEDED, AT, AT, outputs)
    received = WatchTaskResponse.FromString(codec.encode([run, end])).events
    shown = loads(received[0].node_status_changed.snapshot.outputs)
    assert shown == {"headers": {"set-cookie": "ses…abcd", "x": "y"}, "apiKey": "not an input"}
    assert loads(received[1].task_status_changed.outputs) == outputs
    assert outputs["headers"] == {"set-cookie": "session=0123456789abcd", "x": "y"}


def test_delta_is_an_event_without_a_sequence() -> None:
    """A delta is a response with one event that has a time and no sequence."""
    (event,) = WatchTaskResponse.FromString(
        encode_delta(node_id="llm_0", snapshot_id="loop_0[1]/llm_0", text="Hé\ud800", at=AT)
    ).events
    assert event.sequence == 0
    assert event.time.ToMicroseconds() == AT
    delta = event.output_delta
    assert (delta.node_id, delta.snapshot_id, delta.text) == ("llm_0", "loop_0[1]/llm_0", "Hé�")


@given(st.lists(events(), min_size=1, max_size=6), st.data())
def test_first_events_are_cut_off(batch: list[Event], data: st.DataObject) -> None:
    """What is left of a batch without its first events are the others, to the byte."""
    codec = Codec(Secrets())
    count = data.draw(st.integers(0, len(batch)))
    assert without_first(codec.encode(batch), count) == codec.encode(batch[count:])


@given(st.lists(events(), max_size=8), st.integers(min_value=1, max_value=400))
def test_pieces_are_bounded_and_complete(batch: list[Event], max_bytes: int) -> None:
    """A batch comes in pieces that add up to it, each a response, and too large only if it is a single event."""
    encoded = Codec(Secrets()).encode(batch)
    pieces = list(split(encoded, max_bytes))
    assert b"".join(pieces) == encoded
    for piece in pieces:
        assert len(piece) <= max_bytes or len(WatchTaskResponse.FromString(piece).events) == 1
    for before, after in pairwise(pieces):
        first_after = after[: len(after) - len(without_first(after, 1))]
        assert len(before) + len(first_after) > max_bytes  # no piece ends before it must


@given(st.lists(events(), max_size=6))
def test_basic_view_leaves_json_out_and_nothing_else(batch: list[Event]) -> None:
    """The BASIC view of a batch is the batch without the JSON of inputs and outputs."""
    wanted = WatchTaskResponse(events=[built(event) for event in batch])
    for event in wanted.events:
        if event.HasField("node_status_changed"):
            event.node_status_changed.snapshot.inputs = ""
            event.node_status_changed.snapshot.outputs = ""
        elif event.HasField("task_status_changed"):
            event.task_status_changed.outputs = ""
    assert WatchTaskResponse.FromString(to_basic(Codec(Secrets()).encode(batch))) == wanted
