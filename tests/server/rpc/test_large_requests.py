"""Tests of `flowgram_server.rpc.large_requests`."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram.runtime.v1.runtime_service_pb2 import (
    BatchRun,
    TaskRunBatchRequest,
    TaskRunRequest,
    TaskValidateRequest,
)
from flowgram_server.rpc.errors import ArgumentInvalid
from flowgram_server.rpc.large_requests import (
    LARGE_FIELD,
    MAX_FIELDS,
    MAX_REST,
    MAX_RUNS,
    PART_BYTES,
    decode_in_pieces,
    parts_of,
    rest_of,
)

LARGE = LARGE_FIELD + 1
FIRST = frozenset({1, 2})


def refusal(request_type: Any, data: bytes) -> str:
    with pytest.raises(ArgumentInvalid) as refused:
        decode_in_pieces(request_type, data)
    return str(refused.value)


@given(st.text(min_size=1), st.integers(1, 3), st.booleans())
def test_texts_are_what_was_sent(text: str, times: int, large: bool) -> None:
    """Whatever a text is made of, and wherever it is cut, it is what Protocol Buffers read."""
    schema = text * (1 + LARGE * times * 4 // len(text.encode())) if large else text
    request = TaskRunRequest(schema=schema, inputs=text, request_id="r", wait=True, labels={"a": "b"})
    request.timeout.seconds = 5

    found = decode_in_pieces(TaskRunRequest, request.SerializeToString())

    assert (found.schema, found.inputs, found.request_id, found.wait) == (schema, text, "r", True)
    assert (dict(found.labels), found.timeout.seconds, found.HasField("timeout")) == ({"a": "b"}, 5, True)


def test_what_is_left_is_small() -> None:
    """The library gets neither the schema nor the inputs, if they are large."""
    data = TaskValidateRequest(schema="s" * LARGE, inputs="i" * LARGE).SerializeToString()

    found = decode_in_pieces(TaskValidateRequest, data)

    assert not rest_of(found).SerializeToString()
    assert (len(found.schema), len(found.inputs)) == (LARGE, LARGE)


def test_the_last_of_two_texts_counts() -> None:
    """As in every decoder of Protocol Buffers, whichever of the two is large."""
    large, small = (TaskRunRequest(schema=text).SerializeToString() for text in ("a" * LARGE, "b"))
    assert decode_in_pieces(TaskRunRequest, large + small).schema == "b"
    assert decode_in_pieces(TaskRunRequest, small + large).schema == "a" * LARGE


def test_a_text_that_is_not_utf_8_is_named_with_the_place() -> None:
    """Also where the place is behind a piece, and a character was cut in two before it."""
    text = "ä".encode() * 300_000 + b"\xff"
    data = TaskRunRequest(schema="x" * len(text)).SerializeToString().replace(b"x" * len(text), text)

    assert refusal(TaskRunRequest, data) == "schema must be UTF-8, and is not at byte 600000"


@pytest.mark.parametrize(
    "data", [b"\x0a\xff", b"\x0a\x05a", b"\x07", b"\x00\x00", b"\x80" * 11, b"\x0d\x00", b"\x0b"]
)
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    """They are the caller's mistake."""
    text = " the request is not a flowgram.runtime.v1."
    assert refusal(TaskRunRequest, data) == f"{text}TaskRunRequest"
    with pytest.raises(ArgumentInvalid, match="not a flowgram"):
        parts_of(TaskRunBatchRequest, data, FIRST)


def test_a_small_text_that_is_not_utf_8_is_named_too() -> None:
    """As in a small request."""
    data = TaskRunRequest(schema="s" * LARGE, request_id="xy").SerializeToString().replace(b"xy", b"x\xff")
    assert refusal(TaskRunRequest, data) == "request_id must be UTF-8, and is not at byte 1"


def test_many_fields_are_refused() -> None:
    """Before the library makes millions of objects of them in one go."""
    label = b"\x2a\x00"
    assert "fields" in refusal(TaskRunRequest, label * (MAX_FIELDS + 1))
    assert decode_in_pieces(TaskRunRequest, label * MAX_FIELDS).labels == {"": ""}


def test_much_beside_the_texts_is_refused() -> None:
    """Labels, names and ids have bounds far below it."""
    request = TaskRunRequest(schema="s" * LARGE, labels={str(index): "v" * 4096 for index in range(100)})
    assert f"more than {MAX_REST} bytes" in refusal(TaskRunRequest, request.SerializeToString())


def test_a_large_field_that_is_not_known_is_left_out() -> None:
    """It may be of a newer version of the contract."""
    unknown = b"\xa2\x06" + b"\x81\x80\x04" + b"a" * LARGE
    assert decode_in_pieces(TaskRunRequest, unknown + b"\x0a\x01s").schema == "s"


def test_a_batch_falls_apart_into_small_parts() -> None:
    """Together they say what the message says, and what is for all runs comes first."""
    runs = [BatchRun(key=str(index), request=TaskRunRequest(inputs="i" * 300)) for index in range(2500)]
    defaults = TaskRunBatchRequest(defaults=TaskRunRequest(schema="s"), max_in_flight=7)
    data = TaskRunBatchRequest(runs=runs).SerializeToString() + defaults.SerializeToString()

    parts = parts_of(TaskRunBatchRequest, data, FIRST)

    assert parts[0] == defaults.SerializeToString()
    assert all(len(part) <= PART_BYTES for part in parts)
    read = [TaskRunBatchRequest.FromString(part) for part in parts[1:]]
    assert all(len(part.runs) <= 1000 for part in read)
    assert [run for part in read for run in part.runs] == runs


def test_a_large_run_of_a_batch_is_a_part_of_its_own() -> None:
    """Its texts are read ahead like those of a single request."""
    runs = [
        BatchRun(key=key, request=TaskRunRequest(inputs=key * size))
        for key, size in (("a", 1), ("b", 300_000), ("c", 2))
    ]
    data = TaskRunBatchRequest(defaults=TaskRunRequest(schema="ä" * LARGE), runs=runs).SerializeToString()

    parts = [
        decode_in_pieces(TaskRunBatchRequest, part) for part in parts_of(TaskRunBatchRequest, data, FIRST)
    ]

    assert parts[0].HasField("defaults")
    assert parts[0].defaults.schema == "ä" * LARGE
    assert not any(part.HasField("defaults") for part in parts[1:])
    assert [(run.key, run.request.inputs) for part in parts for run in part.runs] == [
        ("a", "a"),
        ("b", "b" * 300_000),
        ("c", "cc"),
    ]


def test_runs_keep_their_order_in_one_part() -> None:
    """Large ones are read ahead, small ones between them are not."""
    runs = [
        BatchRun(key=str(index), request=TaskRunRequest(inputs="i" * size))
        for index, size in enumerate((1, LARGE, 2, LARGE, 3))
    ]
    found = decode_in_pieces(TaskRunBatchRequest, TaskRunBatchRequest(runs=runs).SerializeToString())
    assert [(run.key, len(run.request.inputs)) for run in found.runs] == [
        ("0", 1),
        ("1", LARGE),
        ("2", 2),
        ("3", LARGE),
        ("4", 3),
    ]


def test_a_message_of_too_many_runs_is_refused() -> None:
    """A batch of any length has more messages."""
    with pytest.raises(ArgumentInvalid, match="runs are more than"):
        parts_of(TaskRunBatchRequest, b"\x1a\x00" * (MAX_RUNS + 1), FIRST)
