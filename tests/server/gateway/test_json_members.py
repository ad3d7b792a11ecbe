"""Members of a JSON object are found where they lie, without parsing their values."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling.json_text import JSONTextError
from flowgram_server.gateway.json_members import Member, find_members

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.text(alphabet=" \t\r\n", max_size=2)


def scan(data: bytes) -> tuple[dict[str, Member], int]:
    """The members, and how often the scan paused."""
    pauses, scanning = 0, find_members(data)
    while True:
        try:
            next(scanning)
        except StopIteration as found:
            return found.value, pauses
        pauses += 1


@given(
    members=st.lists(st.tuples(st.text(max_size=3), JSON), min_size=1, max_size=4),
    blanks=st.lists(BLANKS, min_size=40, max_size=40),
    ascii_only=st.booleans(),
)
def test_members_keep_their_text(members: list[tuple[str, Any]], blanks: list[str], ascii_only: bool) -> None:
    """Whatever stands around it, a member's text is found as it was written; of equal names the last one's."""
    blank = iter(blanks)
    texts = [
        (key, json.dumps(key, ensure_ascii=ascii_only), json.dumps(value, ensure_ascii=ascii_only))
        for key, value in members
    ]
    written = ",".join(
        f"{next(blank)}{key}{next(blank)}:{next(blank)}{value}{next(blank)}" for _, key, value in texts
    )
    data = f"{next(blank)}{{{written}}}{next(blank)}".encode("utf-8", "surrogatepass")
    found, _ = scan(data)
    wanted = {key: text.encode("utf-8", "surrogatepass") for key, _, text in texts}
    assert {name: data[member.begin : member.end] for name, member in found.items()} == wanted


@given(
    length=st.integers(0, 3),
    piece=st.sampled_from(['"', "\\", '\\"', "é", "[", "}", "x", '\\\\"']),
    wrap=st.booleans(),
)
def test_values_across_windows(length: int, piece: str, wrap: bool) -> None:
    """Wherever the edge of a window falls, within an escape too, the end of a value is found."""
    for padding in range(65_530, 65_545):
        value: Any = "a" * padding + piece * (length + 1) + "b" * 70_000
        text = json.dumps([value, {"k": value}] if wrap else value, ensure_ascii=False)
        data = f'{{"inputs":{text},"last":1}}'.encode()
        found, pauses = scan(data)
        assert data[slice(*found["inputs"])] == text.encode()
        assert data[slice(*found["last"])] == b"1"
        assert pauses


def test_large_values_give_others_the_chance_to_run() -> None:
    """A scan pauses at least once for every 64 KiB, whatever the value is made of."""
    for value in ("[" + "{}," * 300_000 + "0]", '"' + "x" * 900_000 + '"', '"' + '\\"' * 450_000 + '"'):
        data = f'{{"inputs":{value}}}'.encode()
        _, pauses = scan(data)
        assert pauses >= len(data) // (64 * 1024) - 1


@given(value=JSON, more=JSON)
def test_a_value_ends_where_it_ends(value: Any, more: Any) -> None:
    """Whatever containers follow it, and however deep those inside nest."""
    for outer in ([value], {"a": [[[value]]]}):
        data = json.dumps({"inputs": outer, "more": more, "last": [outer]}).encode()
        found, _ = scan(data)
        assert json.loads(data[slice(*found["inputs"])]) == outer
        assert json.loads(data[slice(*found["last"])]) == [outer]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"[]",
        b"1",
        b'"a"',
        b"{",
        b'{"a"',
        b'{"a":',
        b'{"a":}',
        b'{"a" 1}',
        b'{"a":1',
        b'{"a":1,}',
        b"{a:1}",
        b'{"a":1} x',
        b'{"a":[1}',
        b'{"a":[}',
        b'{"a":"b}',
        b'{"a":"b\\',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    ],
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    """With a text that names the place."""
    if data in {b'{"a":[1}', b'{"a":[}'}:  # the kinds of brackets are for the parser of the value
        data += b"}"
        scan(data)
        return
    with pytest.raises(JSONTextError, match="line 1, column"):
        scan(data)
