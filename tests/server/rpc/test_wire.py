import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import StringValue, UInt64Value
from hypothesis import given
from hypothesis import strategies as st

from flowgram_server.rpc.wire import (
    delimited,
    duration,
    following_numbers,
    skip_delimited,
    timestamp,
    utf8,
    varint,
)


@given(st.integers(min_value=0, max_value=2**64 - 1))
def test_varint_is_what_protobuf_reads(number: int) -> None:
    """Every integer comes back from Protocol Buffers as it was written."""
    assert UInt64Value.FromString(b"\x08" + varint(number)).value == number


def test_varint_refuses_negative_numbers() -> None:
    """A negative number would silently become another one, and is an error."""
    with pytest.raises(ValueError, match="negative"):
        varint(-1)


@given(st.text(max_size=50) | st.just("é" * 9000))
def test_text_is_what_protobuf_reads(text: str) -> None:
    """A text comes back as it was written, whatever its length and characters."""
    assert StringValue.FromString(b"\x0a" + delimited(text.encode())).value == text
    assert utf8(text) == text.encode()


@pytest.mark.parametrize(
    ("text", "expected"), [("\ud800", "\ufffd"), ("a\udfffb", "a\ufffdb"), ("\ud83d\ude00", "\ufffd\ufffd")]
)
def test_halves_of_surrogate_pairs_are_replaced(text: str, expected: str) -> None:
    """What UTF-8 cannot say becomes U+FFFD, and breaks nothing else."""
    assert utf8(text).decode() == expected


@given(st.integers(min_value=0, max_value=253_402_300_799_999_999))
def test_times_are_what_protobuf_reads(microseconds: int) -> None:
    """A time comes back to the microsecond."""
    for encoded, kind in ((timestamp(microseconds), Timestamp), (duration(microseconds), Duration)):
        message = kind.FromString(encoded[1:])
        assert message.ToMicroseconds() == microseconds
        assert encoded == delimited(encoded[1:])


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_skipping_lands_between_fields(payloads: list[bytes], data: st.DataObject) -> None:
    """Skipping some fields lands exactly where the next one begins, from wherever it starts."""
    fields = [b"\x0a" + delimited(payload) for payload in payloads]
    encoded = b"".join(fields)
    first = data.draw(st.integers(0, len(fields)))
    second = data.draw(st.integers(first, len(fields)))
    position = skip_delimited(encoded, first)
    assert position == len(b"".join(fields[:first]))
    assert skip_delimited(encoded, second - first, position) == len(b"".join(fields[:second]))


@pytest.mark.parametrize("encoded", [b"", b"\x0a", b"\x0a\x85", b"\x0a\x05abc"])
def test_skipping_beyond_the_end_is_an_error(encoded: bytes) -> None:
    """Bytes that end too early are never read as if they did not."""
    with pytest.raises(ValueError, match="field"):
        skip_delimited(encoded, 1)


@given(st.lists(st.tuples(st.integers(1, 14), st.binary(max_size=300)), max_size=5))
def test_numbers_go_up_by_one(fields: list[tuple[int, bytes]]) -> None:
    """Every field has the next number, and its content as it was, whatever bytes that has."""

    def message(step: int) -> bytes:
        return b"".join(bytes([(number + step) << 3 | 2]) + delimited(content) for number, content in fields)

    assert following_numbers(message(0)) == message(1)
    assert following_numbers(message(0), b"before") == b"before" + message(1)
