import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from flowgram_server.gateway.errors import BodyTooLarge, ContentTypeUnsupported, RequestInvalid
from flowgram_server.gateway.request_body import Body, read_body

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.text(alphabet=" \t\r\n", max_size=2)


def request(*parts: bytes, content_type: str | None = "application/json") -> Request:
    """A request that sends its body in parts."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        for part in parts:
            yield {"type": "http.request", "body": part, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    sending = messages()
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    return Request(scope, lambda: anext(sending))


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
    body = Body(f"{next(blank)}{{{written}}}{next(blank)}", dict(members))
    wanted = {key: text for key, _, text in texts}
    assert {key: body.member_text(key) for key in wanted} == wanted


async def test_a_body_in_parts() -> None:
    """Parts are joined, and numbers stay as they were written."""
    body = await read_body(request(b'{"inputs": {"a": 1', b'.10}, "b": "\xc3', b'\xa9"}'), limit=100)
    assert body.value == {"inputs": {"a": 1.1}, "b": "é"}
    assert body.member_text("inputs") == '{"a": 1.10}'


async def test_a_body_that_is_too_large() -> None:
    """It is refused; a client that is still sending is heard out, within bounds."""
    with pytest.raises(BodyTooLarge, match="more than 10 bytes, the limit max_message_bytes"):
        await read_body(request(b'"' + b"x" * 9 + b'"'), limit=10)
    sent = request(*[b"x" * 10] * 100)
    with pytest.raises(BodyTooLarge):
        await read_body(sent, limit=10)
    assert (await sent.receive())["more_body"]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "jsonp"]
)
async def test_a_body_that_is_not_sent_as_json(content_type: str | None) -> None:
    """Pages of other origins can send these without asking, so they are refused."""
    with pytest.raises(ContentTypeUnsupported, match="application/json"):
        await read_body(request(b"{}", content_type=content_type), limit=10)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x.y+json"]
)
async def test_the_ways_to_say_json(content_type: str) -> None:
    """Parameters, case and suffixes make no difference."""
    assert (await read_body(request(b"{}", content_type=content_type), limit=10)).value == {}


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{", b"[1]", b"null", b'{"a": Infinity}', b'{"a":1e999}', b"[" * 300]
)
async def test_a_body_that_is_no_json_object(data: bytes) -> None:
    """It is refused with a text that says where it goes wrong."""
    with pytest.raises(RequestInvalid):
        await read_body(request(data), limit=1000)
