"""What is done with serialized responses leaves their events as they are, to the byte."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from support.random_events import AT, built, events

from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_core.engine.events import Event
from flowgram_core.hosting.secrets import Secrets
from flowgram_server.rpc.codec import Codec
from flowgram_server.rpc.encoded_responses import encode_delta, split, to_basic, without_first


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
