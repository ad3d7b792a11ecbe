"""Request bodies: read within bounds, and passed on as text where they are large."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import Request

from flowgram_server.byte_budget import ByteBudget
from flowgram_server.gateway.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ContentTypeUnsupported,
    GatewayOverloaded,
    RequestInvalid,
)
from flowgram_server.gateway.request_body import parse_body, read_body

LARGE = 100_000


def request(*parts: bytes, content_type: str | None = "application/json", ends: bool = True) -> Request:
    """A request that sends its body in parts."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        for part in parts:
            yield {"type": "http.request", "body": part, "more_body": True}
        if not ends:
            await asyncio.Event().wait()
        yield {"type": "http.request", "body": b"", "more_body": False}

    sending = messages()
    headers = [] if content_type is None else [(b"content-type", content_type.encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    return Request(scope, lambda: anext(sending))


async def read(sent: Request, limit: int = 1000, budget: ByteBudget | None = None) -> bytes:
    with (budget or ByteBudget(10**9)).share() as share:
        return await read_body(sent, limit, share=share, idle_timeout=30, min_rate=1)


async def test_a_body_in_parts() -> None:
    """Parts are joined, and numbers stay as they were written."""
    body = await parse_body(await read(request(b'{"inputs": {"a": 1', b'.10}, "b": "\xc3', b'\xa9"}')))
    assert body.value == {"inputs": {"a": 1.1}, "b": "é"}
    assert body.member_text("inputs") == '{"a": 1.10}'


async def test_a_body_that_is_too_large() -> None:
    """It is refused; a client that is still sending is read on, within bounds."""
    with pytest.raises(BodyTooLarge, match="more than 10 bytes, the limit max_message_bytes"):
        await read(request(b'"' + b"x" * 9 + b'"'), limit=10)
    sent = request(*[b"x" * 10] * 100)
    with pytest.raises(BodyTooLarge):
        await read(sent, limit=10)
    assert (await sent.receive())["more_body"]


async def test_a_body_that_does_not_come() -> None:
    """Its client is answered after the time-out, and what it held is given back."""
    budget = ByteBudget(1000)
    with budget.share() as share, pytest.raises(BodyTimedOut):
        await read_body(request(b"x" * 100, ends=False), 1000, share=share, idle_timeout=0.01, min_rate=1e9)
    assert budget.held == 0


async def test_a_body_that_comes_too_slowly() -> None:
    """That something comes now and then is not enough: on average it must come at a rate."""

    async def messages() -> AsyncIterator[dict[str, Any]]:
        while True:
            yield {"type": "http.request", "body": b"x", "more_body": True}
            await asyncio.sleep(0)

    sending = messages()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", b"application/json")],
    }
    with ByteBudget(10**9).share() as share, pytest.raises(BodyTimedOut):
        await read_body(
            Request(scope, lambda: anext(sending)), 10**9, share=share, idle_timeout=0.05, min_rate=1e9
        )


async def test_bodies_share_a_budget() -> None:
    """Beyond what all bodies may hold together one is refused, and the others are not touched."""
    budget = ByteBudget(150)
    with budget.share() as first:
        await read_body(request(b"x" * 100), 1000, share=first, idle_timeout=30, min_rate=1)
        with pytest.raises(GatewayOverloaded):
            await read(request(b"x" * 100), budget=budget)
        assert budget.held == 100
    assert len(await read(request(b"x" * 100), budget=budget)) == 100
    assert budget.held == 0


@pytest.mark.parametrize(
    "content_type", [None, "", "text/plain", "application/x-www-form-urlencoded", "jsonp"]
)
async def test_a_body_that_is_not_sent_as_json(content_type: str | None) -> None:
    """Pages of other origins can send these without asking, so they are refused."""
    with pytest.raises(ContentTypeUnsupported, match="application/json"):
        await read(request(b"{}", content_type=content_type))


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x.y+json"]
)
async def test_the_ways_to_say_json(content_type: str) -> None:
    """Parameters, case and suffixes make no difference."""
    assert await read(request(b"{}", content_type=content_type)) == b"{}"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"{", b"[1]", b"null", b'{"a": Infinity}', b'{"a":1e999}', b"[" * 300]
)
async def test_a_body_that_is_no_json_object(data: bytes) -> None:
    """It is refused with a text that says where it goes wrong."""
    with pytest.raises(RequestInvalid):
        await parse_body(data)


async def test_a_byte_order_mark_is_passed_over() -> None:
    """Editors on Windows write one."""
    body = await parse_body(b'\xef\xbb\xbf{"inputs": {"a": 1}}')
    assert (body.value, body.member_text("inputs")) == ({"inputs": {"a": 1}}, '{"a": 1}')


@pytest.mark.parametrize("before", range(4))
async def test_large_inputs_are_decoded_in_slices(before: int) -> None:
    """Wherever a character is cut in two; what is no UTF-8 is the caller's mistake."""
    text = json.dumps({"a": "x" * before + "\U0001f600" * 200_000}, ensure_ascii=False)
    data = f'{{"inputs": {text}, "schema": "s"}}'.encode()
    body = await parse_body(data)
    assert (body.member_text("inputs"), body.size) == (text, len(data))
    body = await parse_body(data.replace(b'\x80"}', b'\xff"}'))
    with pytest.raises(RequestInvalid, match="not UTF-8"):
        body.member_text("inputs")


async def test_large_inputs_are_not_parsed() -> None:
    """They are passed on as they came, errors included: their parser says what is wrong."""
    text = '{"a": [' + "{}," * LARGE + "nonsense]}"
    body = await parse_body(f'{{"schema": "s\\u00e9", "inputs": {text}, "labels": {{"a": "b"}}}}'.encode())
    assert body.value == {"schema": "sé", "inputs": {}, "labels": {"a": "b"}}
    assert body.member_text("inputs") == text


@pytest.mark.parametrize(("inputs", "shown"), [([0] * LARGE, []), ("x" * LARGE, "x" * LARGE), (1, 1)])
async def test_large_inputs_that_are_no_object(inputs: Any, shown: Any) -> None:
    """What they are can still be found out, so that the request is refused for it."""
    body = await parse_body(json.dumps({"inputs": inputs, "schema": "x" * LARGE}).encode())
    assert body.value["inputs"] == shown


async def test_other_members_are_bounded() -> None:
    """What is parsed here, and is neither text nor inputs, has no reason to be large."""
    with pytest.raises(RequestInvalid, match="labels: has"):
        await parse_body(json.dumps({"labels": {str(number): "" for number in range(200_000)}}).encode())


async def test_a_large_body_that_is_not_utf8() -> None:
    """It is refused like a small one."""
    with pytest.raises(RequestInvalid):
        await parse_body(b'{"schema": "' + b"\xff" * LARGE + b'"}')


async def test_others_run_while_a_large_body_is_scanned() -> None:
    """The scan pauses: with as many pauses as its size asks for, the loop is never held for long."""
    pauses = 0

    async def count() -> None:
        nonlocal pauses
        while True:
            await asyncio.sleep(0)
            pauses += 1

    counting = asyncio.create_task(count())
    await parse_body(b'{"inputs": [' + b"{}," * 500_000 + b"0]}")
    counting.cancel()
    assert pauses >= 20
