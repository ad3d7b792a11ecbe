"""Server-Sent Events: the same events however the stream is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.nodes.llm.event_stream import EventStream

STREAM = b"""\
: a comment

data: one

event: error
data:two
data:  lines
id: 5
data

event: nothing

datax: 5
data: \xc3\xa9\x0b\xe2\x80\xa8

data: unfinished"""
EVENTS = [
    (b"", b"one"),
    (b"error", b"two\n lines\n"),
    (b"", b"\xc3\xa9\x0b\xe2\x80\xa8"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_are_found_in_pieces(size: int, line_end: bytes) -> None:
    """Whatever ends the lines; characters that end lines of texts elsewhere do not here."""
    stream = STREAM.replace(b"\n", line_end)
    events = EventStream()
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert [event for piece in pieces for event in events.feed(piece)] == EVENTS
    assert events.unfinished == b"unfinished"


def test_what_is_held_is_what_has_no_end_yet() -> None:
    """An event's lines and the line that comes; comments are forgotten."""
    events = EventStream()
    for piece, held in ((b": ping\n" * 100, 0), (b"data: x\n", 7), (b"data: y", 14), (b"\n\n", 0)):
        list(events.feed(piece))
        assert events.held == held


@given(
    st.lists(st.integers(1, 3000), max_size=40),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.sampled_from([b"data:", b"data: ", b"data:  ", b"datax: ", b": ", b"event: "]), max_size=6),
)
def test_long_lines_are_those_of_the_stream(cuts: list[int], line_end: bytes, starts: list[bytes]) -> None:
    """They are kept in another way than short ones, which nobody sees."""
    lines = [start + b"x" * 500 * index for index, start in enumerate(starts, 1)]
    stream = b"data: a" + line_end + line_end.join([*lines, b"", b"data: end", b""])
    expected = EventStream()
    found = [*expected.feed(stream)]
    events, position, pieces = EventStream(), 0, []
    for cut in [*cuts, len(stream)]:
        pieces += events.feed(stream[position : position + cut])
        position += cut
    assert pieces == found
    assert (events.unfinished, events.held) == (expected.unfinished, expected.held)
