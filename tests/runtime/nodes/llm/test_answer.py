"""What APIs answer: what is an answer, what is none or a part of one, and how much of it memory has to hold."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from support.llm_node import ask, failure, inputs_of
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, never, response

from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import MIB, LLMSettings

EVENTS = "text/event-stream"
DONE = b"data: [DONE]\n\n"
BROKE_OFF = 'Network error: the answer of api "{host}" broke off'
NO_COMPLETION = 'The answer of api "{host}" is not a chat completion'
NEITHER = 'The answer of api "{host}" is neither an event stream nor JSON, but '


def event(*choices: Any, **more: Any) -> bytes:
    return b"data: " + json.dumps({"choices": choices, **more}).encode() + b"\n\n"


def choice(text: str | None = None, **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": text}, "finish_reason": None, **more}


def endless(status: str, headers: str, body: bytes) -> RawServer:
    """A server whose answer begins so, and has no end."""
    return RawServer(never, head=f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n".encode() + body)


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/x+json"]
)
async def test_an_api_that_does_not_stream_is_understood(content_type: str) -> None:
    """Its whole answer is one piece."""
    body = b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}}]}'
    context = FakeContext()
    async with RawServer(response(body, Content_Type=content_type)) as server:
        assert await ask(server.url, context=context) == {"result": "whole"}
    assert context.deltas == ["whole"]


@pytest.mark.parametrize(
    "body",
    [
        event(choice("ab")) + DONE,
        event(choice("ab")) + DONE.rstrip(),
        event(choice("ab", finish_reason="stop")),
        event(choice("a"))
        + event(choice("b"))
        + event(choice(finish_reason="length"))
        + event(usage={})
        + DONE,
        event(choice("ab")) + DONE + event(choice("after the end")),
        event()
        + event({"delta": {"content": "ab"}})
        + event({"index": 1, "delta": {"content": "other"}})
        + DONE,
        event(choice("ab")) + event({"index": 0, "finish_reason": "stop", "content_filter_offsets": {}}),
        event(choice("ab")) + event({"index": 0, "finish_reason": "stop", "delta": None}),
        b'data: {"choices": null}\n\n' + event(choice("ab")) + DONE,
        b": ping\n\nretry: 5\n\nevent: ping\n\ndata:\n\n" + event(choice("ab")) + DONE,
        (b"event: message\n" + event(choice("ab")) + DONE).replace(b"\n", b"\r\n"),
        event(choice("ab")).replace(b'{"choices"', b'{"x": 1,\ndata: "choices"') + DONE,
    ],
)
@pytest.mark.parametrize("content_type", [EVENTS, "Text/Event-Stream; charset=utf-8", "text/plain"])
async def test_apis_stream_in_many_ways(body: bytes, content_type: str) -> None:
    """With or without `[DONE]`, a reason to finish, an index, a delta; pings and other choices are passed over."""
    async with RawServer(response(body, Content_Type=content_type)) as server:
        assert await ask(server.url) == {"result": "ab"}


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("application/json", b'{"choices": []}', NO_COMPLETION),
        ("application/json", b"[]", NO_COMPLETION),
        ("application/json", b"{", NO_COMPLETION),
        ("application/json", b"[" * 100_000, NO_COMPLETION),
        ("application/json", b'{"choices": [{"message": {"content": 5}}]}', NO_COMPLETION),
        ("application/json", b'{"error": {"message": "No quota"}}', "No quota"),
        (EVENTS, b"data: {no json}\n\n", NO_COMPLETION),
        (EVENTS, b"data: 5\n\n", NO_COMPLETION),
        (EVENTS, b"data: \xff\n\n", NO_COMPLETION),
        (EVENTS, b"data: " + b"[" * 100_000 + b"\n\n", NO_COMPLETION),
        (EVENTS, b'data: {"choices": 5}\n\n', NO_COMPLETION),
        (EVENTS, event(5), NO_COMPLETION),
        (EVENTS, event({"delta": 5}), NO_COMPLETION),
        (EVENTS, event({"delta": {"content": [1]}}), NO_COMPLETION),
        (EVENTS, DONE, NO_COMPLETION),
        (EVENTS, event() + DONE, NO_COMPLETION),
        (EVENTS, b"", BROKE_OFF),
        (EVENTS, event(choice("half")), BROKE_OFF),
        (EVENTS, event(choice("half")) + event(choice(finish_reason="stop"))[:20], BROKE_OFF),
        (EVENTS, event(choice("half"), error={"message": "Broken"}) + DONE, "Broken"),
        (EVENTS, event(choice("half")) + b'data: {"error": "Broken"}\n\n', "Broken"),
        (EVENTS, b'data: {"object": "error", "message": "Broken"}\n\n' + DONE, "Broken"),
        (EVENTS, event(choice("half")) + b'event: error\ndata: {"message": "Broken"}\n\n' + DONE, "Broken"),
        (EVENTS, b'event: error\ndata: {"error": {"message": "Broken"}}\n\n', "Broken"),
        (EVENTS, event(choice("half")) + b"event: error\ndata: Broken\n\n" + DONE, "Broken"),
        (EVENTS, b"event: error\ndata: {}\n\n", "An error occurred during streaming"),
        ("text/html; x=y", b"<html>\n\n<p>Log in</html>", NEITHER + '"text/html"'),
        ("text/plain", b'{"choices": [{"message": {"content": "whole"}}]}', NEITHER + '"text/plain"'),
        ("", b"", NEITHER + "of no type"),
    ],
)  # fmt: skip
async def test_answers_that_are_none_are_errors(content_type: str, body: bytes, message: str) -> None:
    """With a text that says so; a part of an answer is none."""
    async with RawServer(response(body, Content_Type=content_type)) as server:
        assert await failure(server.url) == message.format(host=server.url)


async def test_no_content_is_no_answer() -> None:
    """Though it is a success."""
    async with RawServer(response(status="204 No Content")) as server:
        assert await failure(server.url) == NEITHER.format(host=server.url) + "of no type"


async def test_a_long_answer_is_refused() -> None:
    """Beyond the limit the node fails, in one piece or in many."""
    settings = LLMSettings(max_answer_bytes=10)
    whole = response(
        b'{"choices": [{"message": {"content": "12345678901"}}]}', Content_Type="application/json"
    )
    streamed = response(event(choice("123456")) + event(choice("78901")) + DONE, Content_Type=EVENTS)
    for answer in (whole, streamed):
        async with RawServer(answer) as server:
            message = await failure(server.url, settings)
            assert message == "The answer is longer than the limit llm.max_answer_bytes = 10"


@pytest.mark.parametrize("streamed", [True, False])
async def test_no_answer_within_the_limit_is_refused(streamed: bool) -> None:
    """However it is written: here each byte takes six, and all of it is one event, or one body."""
    text = "\1" * 300_000
    whole = json.dumps({"choices": [{"message": {"content": text}}]}).encode()
    answer = (
        response(event(choice(text)) + DONE, Content_Type=EVENTS)
        if streamed
        else response(whole, Content_Type="application/json")
    )
    async with RawServer(answer) as server:
        assert await ask(server.url, LLMSettings(max_answer_bytes=len(text))) == {"result": text}


@pytest.mark.parametrize(
    ("content_type", "begin", "piece"),
    [
        ("application/json", b'{"', b"x"),
        (EVENTS, b"data: ", b"x"),
        (EVENTS, b"", b"data: x\n"),
        ("text/html", b"", b"x"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
async def test_what_cannot_be_parsed_yet_is_bounded(
    content_type: str, begin: bytes, piece: bytes, packed: bool
) -> None:
    """A body, a line or an event that does not end is given up, whatever it may become."""
    body = begin + piece * (2 * MIB // len(piece))
    headers = f"content-type: {content_type}"
    if packed:
        body, headers = gzip.compress(body), f"{headers}\r\ncontent-encoding: gzip"
    async with endless("200 OK", headers, body) as server:
        message = await failure(server.url, LLMSettings(max_answer_bytes=10))
    assert message == "The answer is longer than the limit llm.max_answer_bytes = 10"


@pytest.mark.parametrize("packed", [False, True])
async def test_a_long_error_is_cut_off(packed: bool) -> None:
    """It is told as far as it fits, though it has no end."""
    body = gzip.compress(b"x" * 2 * MIB) if packed else b"x" * 2 * MIB
    headers = "content-encoding: gzip" if packed else "x: y"
    async with endless("400 Bad", headers, body) as server:
        assert await failure(server.url) == f"400 {'x' * 1996}"


async def test_a_redirect_is_followed_before_its_body_ends() -> None:
    """Nobody wants to know what is in it."""
    async with (
        RawServer(response(event(choice("there")) + DONE, Content_Type=EVENTS)) as there,
        endless("307 Moved", f"location: {there.url}", b"x" * 2 * MIB) as server,
    ):
        assert await ask(server.url) == {"result": "there"}


async def test_much_from_little_is_read_in_turns() -> None:
    """What a few packed bytes become does not hold the event loop in one go."""
    fairness = 0

    async def time_slice() -> None:
        nonlocal fairness
        fairness += 1

    async def ask_in_turns(body: bytes, **headers: str) -> int:
        nonlocal fairness
        fairness = 0
        async with (
            RawServer(response(body, Content_Type=EVENTS, **headers)) as server,
            LLMNode(time_slice=time_slice) as node,
        ):
            outputs = await node.execute(prepare(node, {}, inputs_of(server.url)), FakeContext())
        assert outputs == {"result": "x"}
        return fairness

    answer = event(choice("x")) + DONE
    few = await ask_in_turns(answer)
    assert (
        await ask_in_turns(gzip.compress(b": ping\n" * (MIB // 7) + answer), Content_Encoding="gzip")
        > few + 10
    )


async def test_the_connection_is_used_again() -> None:
    """The response is read to its end, though its last event says that nothing follows."""
    connections = 0
    closed = asyncio.Event()
    body = event(choice("x")) + DONE
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while received := await reader.readline():
            length = 0
            while (line := await reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            await reader.readexactly(length)
            assert received.startswith(b"POST")
            writer.write(head + b"%x\r\n%b\r\n" % (len(body), body))
            await writer.drain()
            writer.write(b"0\r\n\r\n")
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with LLMNode() as node:
        for _ in range(3):
            await node.execute(prepare(node, {}, inputs_of(url)), FakeContext())
    await closed.wait()
    server.close()
    assert connections == 1
