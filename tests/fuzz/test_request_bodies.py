"""The reader of REST bodies is fed what is nearly a request: it gives the object, or says what is wrong."""

import asyncio
import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from support import odd_json
from support.fuzzing import FUZZ
from support.odd_json import VALUES

from flowgram_core.modeling.json_text import MAX_DEPTH, loads
from flowgram_server.gateway.errors import RequestInvalid
from flowgram_server.gateway.request_body import Body, parse_body

BODIES = st.fixed_dictionaries(
    {},
    optional={"inputs": VALUES, "schema": st.text(max_size=20) | VALUES, "taskID": VALUES, "é\ud800": VALUES},
)
TEXTS = (BODIES.flatmap(odd_json.changed) | VALUES).map(odd_json.dumps)
PADDING = b" " * 70_000
"""Makes a body so large that its members are found without parsing it."""


def parse(data: bytes) -> Body | str:
    async def parsing() -> Body | str:
        try:
            return await parse_body(data)
        except RequestInvalid as error:
            return str(error)

    return asyncio.run(parsing())


def members(body: Body) -> dict[str, Any]:
    """The members by their texts, which are what is passed on."""
    return {name: loads(body.member_text(name).encode(), max_depth=MAX_DEPTH + 1) for name in body.value}


def check(data: bytes) -> None:
    """A body says the same whether it is parsed as a whole or, padded, member by member."""
    whole, by_members = parse(data), parse(data + PADDING)
    if isinstance(whole, str):
        assert whole
        assert isinstance(by_members, str)
        return
    assert isinstance(by_members, Body)
    assert by_members.value == whole.value
    assert members(whole) == members(by_members) == whole.value


@FUZZ
@given(TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_json_is_read(data: bytes) -> None:
    """An object in one way or the other, with the same members; anything else is refused."""
    check(data)


@FUZZ
@given(TEXTS.flatmap(odd_json.broken).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"[" * 200_000)
@example(b'{"a":' * 100_000)
@example(b'{"a":"' + b"\\" * 100_001)
@example(b'{"inputs":{}' + b" " * 200_000)
@example(b"\xef\xbb\xbf{}")
@example(b"{" + b'"a":1,' * 50_000 + b'"a":2}')
def test_broken_json_is_refused(data: bytes) -> None:
    """However it is broken."""
    check(data)


@FUZZ
@given(st.binary(max_size=50))
def test_bytes_are_refused(data: bytes) -> None:
    """That are no text, or no JSON."""
    check(data)


@FUZZ
@given(BODIES, st.binary(max_size=3), st.integers(0, 200))
def test_cut_and_spoilt_bodies_are_refused(body: dict[str, Any], spoilt: bytes, place: int) -> None:
    """What is not UTF-8 in the middle, or ends too early."""
    data = json.dumps(body).encode()
    check(data[:place])
    check(data[:place] + spoilt + data[place:])
