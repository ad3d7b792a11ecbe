"""What APIs answer: what is an answer, what is none or a part of one, and how much of it memory has to hold."""

import asyncio
import gzip
import json
from typing import Any

import pytest
from support.llm_node import ask, failure, inputs_of
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, Received, never, response

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
        ("text/plain", b"Please log in.", NEITHER + '"text/plain"'),
        ("application/json", b"Please log in.", NO_COMPLETION),
        ("application/json", b"", NO_COMPLETION),
        ("application/json", b'{"code": 1004, "msg": "login fail"}', "1004 login fail"),
        (EVENTS, b'{"code": "InvalidKey", "message": "no such key"}', "no such key"),
        (EVENTS, b'data: {"code": 50, "msg": "overloaded"}\n\n', "50 overloaded"),
        ("application/json", b'{"code": 0, "msg": "success"}', NO_COMPLETION),
        ("application/json", b'{"base_resp": 1, "choices": null}', NO_COMPLETION),
        (
            "application/json",
            b'{"choices": null, "base_resp": {"status_code": 1004, "status_msg": "login fail"}}',
            "1004 login fail",
        ),
        (EVENTS, b'data: {"choices": [], "base_resp": {"status_code": 2, "status_msg": "busy"}}\n\n', "2 busy"),
        ("application/json", b'{"choices": [], "base_resp": {"status_code": 0, "status_msg": ""}}', NO_COMPLETION),
        ("application/json", b'{"errors": [1, {"code": 7003, "message": "no route"}], "success": false}', "no route"),
        ("application/json", b'{"errors": [{"code": 0, "message": "fine"}]}', NO_COMPLETION),
        (EVENTS, b'event: verdict\ndata: {"error": {"message": "Blocked"}}\n\n' + DONE, "Blocked"),
        (EVENTS, event({"message": {"content": "half"}}), BROKE_OFF),
        (EVENTS, event({"delta": {"content": [{"type": "text", "text": 5}]}}), NO_COMPLETION),
        ("", b"", NEITHER + "of no type"),
    ],
)  # fmt: skip
async def test_answers_that_are_none_are_errors(content_type: str, body: bytes, message: str) -> None:
    """With a text that says so; a part of an answer is none."""
    async with RawServer(response(body, Content_Type=content_type)) as server:
        assert await failure(server.url) == message.format(host=server.url)


def message(content: Any, **more: Any) -> dict[str, Any]:
    return {"index": 0, "message": {"role": "assistant", "content": content}, **more}


@pytest.mark.parametrize(
    "body",
    [
        event(message("Hello w\u00f6rld", finish_reason="stop")) + DONE,
        event(message("Hello ")) + event(message("w\u00f6rld")) + DONE,
        event(message("Hello ")) + event(message("Hello w\u00f6rld")) + DONE,
        event(choice("Hello "))
        + event(
            choice("w\u00f6rld"),
        )
        + event(message("Hello w\u00f6rld"))
        + DONE,
        event(message("Hello w\u00f6rld")) + event(choice("Hello ")) + event(choice("w\u00f6rld")) + DONE,
        event({**choice("Hello w\u00f6rld"), **message("Hello w\u00f6rld")}) + DONE,
        event(choice("")) + event({**choice(), **message("Hello w\u00f6rld")}) + DONE,
    ],
)
async def test_the_text_may_be_in_the_message_of_an_event(body: bytes) -> None:
    """It counts where no delta brings any, and is never doubled."""
    context = FakeContext()
    async with RawServer(response(body, Content_Type=EVENTS)) as server:
        assert await ask(server.url, context=context) == {"result": "Hello w\u00f6rld"}
    assert "".join(context.deltas) == "Hello w\u00f6rld"


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "Hello "}, {"type": "text", "text": "you"}],
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "Hello you"},
        ],
        [
            {"type": "reasoning", "text": "hm"},
            "Hello ",
            {"text": "you"},
            {"type": "image_url", "image_url": {}},
        ],
        {"type": "output_text", "text": "Hello you"},
        [{"type": "text", "text": {"value": "Hello you", "annotations": []}}],
    ],
)
async def test_a_content_may_have_parts(parts: Any) -> None:
    """Their texts are joined; what the model thought is left out."""
    for body, kind in (
        (event({"index": 0, "delta": {"content": parts}}) + DONE, EVENTS),
        (json.dumps({"choices": [message(parts)]}).encode(), "application/json"),
    ):
        async with RawServer(response(body, Content_Type=kind)) as server:
            assert await ask(server.url) == {"result": "Hello you"}


@pytest.mark.parametrize("begin", [b"", b"\r\n \n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("kind", [EVENTS, "application/json", "text/plain", "text/html", ""])
async def test_the_body_decides_what_it_is(begin: bytes, kind: str) -> None:
    """Whatever it is called; blanks and a byte order mark may come before it."""
    whole = json.dumps({"choices": [message("ab")]}).encode()
    for body in (event(choice("ab")) + DONE, whole):
        async with RawServer(response(begin + body, Content_Type=kind)) as server:
            assert await ask(server.url) == {"result": "ab"}


@pytest.mark.parametrize(
    "data", [b'{"error": {"message": "flagged"}}', b'{"code": 7, "msg": "x"}', b"no json", b"5", b"[]"]
)
async def test_events_of_an_apis_own_do_not_fail_a_good_answer(data: bytes) -> None:
    """Whatever they say; what they bring of the answer counts."""
    other = b"event: moderation\ndata: " + data + b"\n\n"
    body = other + event(choice("a")) + other + b"event: chunk\n" + event(choice("b")) + DONE
    async with RawServer(response(body, Content_Type=EVENTS)) as server:
        assert await ask(server.url) == {"result": "ab"}


REFUSALS = [
    (400, {"error": {"message": "this organization may not stream", "param": "stream"}}),
    (400, {"error": {"message": "Unsupported value: 'stream' does not support true with this model."}}),
    (422, {"detail": "Streaming is not supported"}),
    (501, {"message": "streaming responses are not implemented"}),
]


@pytest.mark.parametrize(("status", "refusal"), REFUSALS)
async def test_an_api_that_does_not_stream_is_asked_once_more_without(status: int, refusal: Any) -> None:
    """With all else as it was; what it then says counts."""
    asked = []

    async def respond(received: Received) -> bytes:
        body = json.loads(received.body)
        asked.append(body)
        if "stream" in body:
            return response(json.dumps(refusal).encode(), f"{status} No", Content_Type="application/json")
        return response(json.dumps({"choices": [message("whole")]}).encode(), Content_Type="application/json")

    async with RawServer(respond) as server:
        assert await ask(server.url, LLMSettings(max_retries=0)) == {"result": "whole"}
    streamed, plain = asked
    assert streamed.pop("stream") is True
    assert plain == streamed


async def test_another_refusal_is_not_asked_again() -> None:
    """Nor is one that refuses both."""
    body = b'{"error": {"message": "No such model", "param": "model"}}'
    async with RawServer(response(body, "404 Not Found")) as server:
        assert await failure(server.url) == "404 No such model"
        assert len(server.received) == 1
    async with RawServer(response(b'{"error": {"message": "no streams here"}}', "400 Bad")) as server:
        assert await failure(server.url) == "400 no streams here"
        assert len(server.received) == 2


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
    """It is reported as far as it fits, though it has no end."""
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


async def test_much_from_little_is_read_in_pieces() -> None:
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


@pytest.mark.parametrize("is_stream", [True, False])
async def test_an_answer_of_too_many_parts_is_none(is_stream: bool) -> None:
    """It would take far more memory than the longest text, and most of it would be thrown away."""
    settings = LLMSettings(max_answer_bytes=MIB)
    text = b'{"choices": [], "x": [' + b",".join([b"{}"] * 1_200_000) + b"]}"
    body = b"data: " + text + b"\n\n" if is_stream else text
    async with RawServer(response(body, Content_Type=EVENTS)) as server:
        assert await failure(server.url, settings) == NO_COMPLETION.format(host=server.url)


@pytest.mark.parametrize("padding", [0, 100_000])
@pytest.mark.parametrize("is_stream", [True, False])
async def test_large_pieces_of_an_answer_are_taken_like_small_ones(is_stream: bool, padding: int) -> None:
    """Though that is done in a thread."""
    more: dict[str, Any] = {"padding": "x" * padding, "parts": [{}] * padding}
    if is_stream:
        body = event(choice("a"), **more) + event(choice("b", finish_reason="stop"), usage={}, **more)
    else:
        body = json.dumps({"choices": [{"message": {"content": "ab"}}], **more}).encode()
    async with RawServer(response(body)) as server:
        assert await ask(server.url) == {"result": "ab"}
    body = (
        event(error={"message": "no", **more})
        if is_stream
        else json.dumps({"error": {"message": "no"}, **more}).encode()
    )
    async with RawServer(response(body)) as server:
        assert await failure(server.url) == "no"


async def test_messages_are_put_together() -> None:
    """Whether each has all that came so far, or the next piece."""
    texts = ["a", "ab", "abcd", "e", "abcdef", "g"]
    body = b"".join(event({"index": 0, "message": {"content": text}}) for text in texts) + DONE
    async with RawServer(response(body, Content_Type=EVENTS)) as server:
        assert await ask(server.url) == {"result": "abcdefg"}


@pytest.mark.parametrize(
    ("label", "shown"),
    [("gbk", "中文"), ("utf-8", "\ufffd\ufffd\ufffd\ufffd"), ("punycode", "\ufffd\ufffd\ufffd\ufffd")]
    + [
        (label, "\ufffd\ufffd\ufffd\ufffd")
        for label in ("zip", "bz2", "hex", "idna", "undefined", "x" * 50_000)
    ],
)
async def test_errors_are_decoded_by_the_labels_of_the_web(label: str, shown: str) -> None:
    """Python has codecs of its own that unpack, need hours, or fail."""
    body = b'{"error": {"message": "no: ' + "中文".encode("gbk") + b'"}}'
    headers = {"Content_Type": f"application/json; charset={label}"}
    async with RawServer(response(body, "400 Bad Request", **headers)) as server:
        assert await failure(server.url) == f"400 no: {shown}"


async def test_a_stream_of_small_lines_is_read_in_turns() -> None:
    """Even where they come as one: between some thousand of them, others go on."""
    turns = 0

    async def time_slice() -> None:
        nonlocal turns
        turns += 1

    counts = []
    for pings in (0, 40_000):
        turns = 0
        body = b":\n" * pings + event(choice("x")) + DONE
        async with (
            RawServer(response(body, Content_Type=EVENTS)) as server,
            LLMNode(time_slice=time_slice) as node,
        ):
            await node.execute(prepare(node, {}, inputs_of(server.url)), FakeContext())
        counts.append(turns)
    assert counts[1] >= counts[0] + 5


async def test_answers_that_do_not_end_hold_a_bounded_memory() -> None:
    """Of many that are under way, those fail that hold more than their share."""
    settings = LLMSettings(max_held_bytes=300_000)
    body = b"data: " + b"x" * 100_000
    async with endless("200 OK", f"content-type: {EVENTS}", body) as server, LLMNode(settings) as node:
        call = prepare(node, {}, inputs_of(server.url))
        calls = [asyncio.create_task(node.execute(call, FakeContext())) for _ in range(8)]
        ended, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
    assert {str(each.exception()) for each in ended} == {
        "All answers that come in at the moment hold more than the limit llm.max_held_bytes = 300000"
    }


async def test_many_small_pieces_make_one_text() -> None:
    """In their order, also beyond those that are joined."""
    body = b"".join(event(choice(str(number % 10))) for number in range(3500)) + DONE
    context = FakeContext()
    async with RawServer(response(body, Content_Type=EVENTS)) as server:
        outputs = await ask(server.url, context=context)
    assert outputs == {"result": "0123456789" * 350}
    assert "".join(context.deltas) == "0123456789" * 350
