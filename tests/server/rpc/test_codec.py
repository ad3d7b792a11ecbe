"""The codec is compared with Protocol Buffers: the same events, built as messages, must read the same."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.events import changed
from support.random_events import AT, built, events, json_text, message, objects, status_info

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
from flowgram_core.modeling.json_text import loads
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.codec import Codec


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
