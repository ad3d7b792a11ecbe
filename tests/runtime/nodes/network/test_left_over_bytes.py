"""A server that sends more than its response: no other request ever sees it, and none is sent twice for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from support.certificates import Certificate
from support.connections import KeptConnections, Late, whole
from support.http_node import execute
from support.llm_node import inputs_of
from support.node_calls import FakeContext, prepare

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import HTTPSettings, LLMSettings

ANOTHERS = whole(b'{"choices": [{"message": {"content": "another\'s"}}]}', "Content-Type: application/json")
COMPLETION = b'{"choices": [{"message": {"content": "first"}}]}'
MINE = b'{"choices": [{"message": {"content": "mine"}}]}'

FORMS: dict[str, tuple[bytes | Late, int, str]] = {
    "body-after-204": (b'HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n{"deleted":true}', 204, ""),
    "response-after-204": (b"HTTP/1.1 204 No Content\r\n\r\n" + ANOTHERS, 204, ""),
    "body-after-304": (b"HTTP/1.1 304 Not Modified\r\n\r\nbody", 304, ""),
    "line-end": (whole(b"first") + b"\r\n", 200, "first"),
    "second-response": (whole(b"first") + ANOTHERS, 200, "first"),
    "junk": (whole(b"first") + b"\0junk", 200, "first"),
    "after-chunks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n" + ANOTHERS,
        200,
        "first",
    ),
    "after-empty": (whole(b"") + ANOTHERS, 200, ""),
    "late": (Late(whole(b"first"), ANOTHERS), 200, "first"),
}


CHUNKED = b"Transfer-Encoding: chunked\r\n"


def odd_answers(body: bytes, kind: bytes) -> dict[str, bytes]:
    """Answers at the edge of HTTP/1.1 and beyond it, with a header that names the kind of the body."""
    ok, size = b"HTTP/1.1 200 OK\r\n" + kind, b"Content-Length: %d\r\n" % len(body)
    chunk, last = b"%x\r\n%b\r\n" % (len(body), body), b"0\r\n\r\n"
    plain = ok + size + b"\r\n" + body
    return {
        "switching-protocols": b"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n" + ANOTHERS,
        "informational": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + plain,
        "informational-with-body": b"HTTP/1.1 103 X\r\nContent-Length: 5\r\n\r\nfirst" + plain,
        "informational-flood": b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000 + plain,
        "informational-after": plain + b"HTTP/1.1 100 Continue\r\n\r\n",
        "trailers": ok + CHUNKED + b"\r\n" + chunk + b"0\r\nContent-Length: 3\r\nX: 1\r\n\r\n",
        "trailers-and-more": ok + CHUNKED + b"\r\n" + chunk + b"0\r\nX: 1\r\n\r\n" + ANOTHERS,
        "trailer-flood": ok + CHUNKED + b"\r\n" + chunk + b"0\r\n" + b"X: 1\r\n" * 100_000 + b"\r\n",
        "chunk-extension": ok + CHUNKED + b"\r\n" + chunk.replace(b"\r\n", b';a="b"\r\n', 1) + b"0;x\r\n\r\n",
        "chunk-without-size": ok + CHUNKED + b"\r\nzz\r\n" + chunk + last,
        "chunk-beyond-64-bits": ok + CHUNKED + b"\r\n" + b"f" * 18 + chunk + last,
        "two-equal-lengths": ok + size * 2 + b"\r\n" + body,
        "two-lengths": ok + b"Content-Length: 2\r\n" + size + b"\r\n" + body,
        "two-lengths-in-one": ok + size.rstrip() + b", 2\r\n\r\n" + body,
        "length-below-zero": ok + b"Content-Length: -5\r\n\r\n" + body,
        "length-too-short": ok + b"Content-Length: 2\r\n\r\n" + body,
        "length-and-chunks": ok + b"Content-Length: 2\r\n" + CHUNKED + b"\r\n" + chunk + last,
        "chunks-and-length": ok + CHUNKED + b"Content-Length: 400\r\n\r\n" + chunk + last + ANOTHERS,
        "unknown-encoding": ok + b"Transfer-Encoding: x\r\n" + size + b"\r\n" + body + ANOTHERS,
        "encoding-with-blank": ok + b"Transfer-Encoding : chunked\r\n" + size + b"\r\n" + body + ANOTHERS,
        "folded-headers": ok + b"X: a\r\n  b\r\n" + size.replace(b": ", b":\r\n ") + b"\r\n" + body,
        "nul-in-header": ok + b"X: a\0b\r\n" + size + b"\r\n" + body,
        "return-in-header": ok + b"X: a\rContent-Length: 2\r\n" + size + b"\r\n" + body,
        "line-without-colon": ok + b"X\r\n" + size + b"\r\n" + body,
        "http-0.9": body,
        "http-0.9-and-more": body + b"\r\n" + plain,
        "http-1.0-kept": plain.replace(b"1.1", b"1.0").replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1) + ANOTHERS,
        "http-2": plain.replace(b"HTTP/1.1", b"HTTP/2") + ANOTHERS,
        "bare-line-ends": plain.replace(b"\r\n", b"\n") + ANOTHERS,
        "status-of-four-digits": plain.replace(b" 200 ", b" 2000 "),
        "status-without-number": plain.replace(b" 200 ", b" X "),
        "chunks-after-204": b"HTTP/1.1 204 X\r\n" + CHUNKED + b"\r\n" + chunk + last,
        "length-after-304": b"HTTP/1.1 304 X\r\n" + size + b"\r\n" + ANOTHERS,
        "half-of-another": plain + ANOTHERS[:30],
    }  # fmt: skip


@asynccontextmanager
async def sent(server: KeptConnections) -> AsyncIterator[None]:
    """What is late has been sent, and has had time to arrive, at the end."""
    yield
    server.late.set()
    if server.requests["late"]:
        await server.sent.wait()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("form", FORMS)
async def test_the_next_request_of_an_http_node_has_its_own_response(
    form: str, is_secure: bool, method: str, certificate: Certificate
) -> None:
    """The first one's response counts, and the second one arrives once."""
    answer, status, body = FORMS[form]
    tls = certificate.server_context() if is_secure else None
    settings = HTTPSettings(ca_file=str(certificate.file))
    async with KeptConnections({form: answer}, tls=tls) as server, HTTPNode(settings) as node:
        async with sent(server):
            first = await execute(node, f"{server.url}/{form}", method=method, retryTimes=3)
        second = await execute(node, f"{server.url}/mine", method=method, retryTimes=3)
    assert (first["statusCode"], first["body"]) == (status, body)
    assert (second["statusCode"], second["body"]) == (200, "mine")
    assert server.requests == {form: 1, "mine": 1}
    # What comes in the packet of the last chunk is dropped, and the connection is clean.
    assert server.connections == (1 if form == "after-chunks" and not is_secure else 2)


@pytest.mark.parametrize("is_secure", [False, True])
@pytest.mark.parametrize("form", ["second-response", "after-chunks", "after-empty", "junk"])
async def test_left_over_bytes_in_a_packet_or_record_of_their_own(
    form: str, is_secure: bool, certificate: Certificate
) -> None:
    """Which may lie in the socket, or in what the TLS library has read ahead."""
    answer, status, body = FORMS[form]
    assert isinstance(answer, bytes)
    end = len(answer) - (5 if form == "junk" else len(ANOTHERS))
    tls = certificate.server_context() if is_secure else None
    settings = HTTPSettings(ca_file=str(certificate.file))
    pieces = [answer[:end], answer[end:]]
    async with KeptConnections({form: pieces}, tls=tls) as server, HTTPNode(settings) as node:
        for _ in range(5):
            first = await execute(node, f"{server.url}/{form}", method="POST")
            second = await execute(node, f"{server.url}/mine", method="POST")
            assert (first["statusCode"], first["body"]) == (status, body)
            assert (second["statusCode"], second["body"]) == (200, "mine")
    assert server.requests == {form: 5, "mine": 5}


@pytest.mark.parametrize("is_secure", [False, True])
async def test_a_body_after_the_response_to_head_is_left_out(
    is_secure: bool, certificate: Certificate
) -> None:
    """Whatever length its headers name."""
    tls = certificate.server_context() if is_secure else None
    settings = HTTPSettings(ca_file=str(certificate.file))
    async with KeptConnections({"head": whole(b"body")}, tls=tls) as server, HTTPNode(settings) as node:
        first = await execute(node, f"{server.url}/head", method="HEAD")
        second = await execute(node, f"{server.url}/mine")
    assert (first["body"], second["body"]) == ("", "mine")


@pytest.mark.parametrize("form", ["line-end", "second-response", "junk", "after-chunks", "late"])
async def test_the_next_call_of_an_llm_node_has_its_own_answer(form: str) -> None:
    """And the model is asked once for each."""
    path, mine = f"{form}/chat/completions", "mine/chat/completions"
    answer = FORMS[form][0]
    first_bytes, later = answer if isinstance(answer, Late) else (answer, None)
    kind = "Content-Type: application/json"
    if form == "after-chunks":
        completion = b"HTTP/1.1 200 OK\r\n%b\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n%b" % (
            kind.encode(),
            len(COMPLETION),
            COMPLETION,
            ANOTHERS,
        )
    else:
        completion = whole(COMPLETION, kind) + first_bytes.removeprefix(whole(b"first"))
    answers = {path: completion if later is None else Late(completion, later), mine: whole(MINE, kind)}
    async with KeptConnections(answers) as server, LLMNode() as node:

        async def ask(name: str) -> object:
            inputs = inputs_of(f"{server.url}/{name}")
            return await node.execute(prepare(node, {}, inputs), FakeContext())

        first = await ask(form)
        server.late.set()
        if later is not None:
            await server.sent.wait()
            await asyncio.sleep(0.01)
        second = await ask("mine")
    assert (first, second) == ({"result": "first"}, {"result": "mine"})
    assert server.requests == {path: 1, mine: 1}


@pytest.mark.parametrize("form", odd_answers(b"", b""))
async def test_whatever_a_server_answers_the_next_request_has_its_own_response(form: str) -> None:
    """The first one has its own, or fails, at once; each arrives once, from http and llm nodes."""
    kind = "Content-Type: application/json"
    odd = odd_answers(COMPLETION, f"{kind}\r\n".encode())[form]
    answers = {
        "odd": odd_answers(b"first", b"")[form],
        "odd/chat/completions": odd,
        "mine/chat/completions": whole(MINE, kind),
    }
    settings = LLMSettings(max_retries=0)
    async with KeptConnections(answers) as server, HTTPNode() as http, LLMNode(settings) as llm:

        async def ask(name: str) -> object:
            call = prepare(llm, {}, inputs_of(f"{server.url}/{name}"))
            return await llm.execute(call, FakeContext())

        for _ in range(2):
            with suppress(NodeError):
                first = await execute(http, f"{server.url}/odd", method="POST")
                assert first["body"] in {"first", "fi", ""}
            assert (await execute(http, f"{server.url}/mine"))["body"] == "mine"
            with suppress(NodeError):
                assert await ask("odd") == {"result": "first"}
            assert await ask("mine") == {"result": "mine"}
    assert set(server.requests.values()) == {2}


async def test_a_connection_that_is_clean_is_used_again() -> None:
    """Requests one after the other share it."""
    async with KeptConnections() as server, HTTPNode() as node:
        for _ in range(3):
            await execute(node, f"{server.url}/mine")
    assert server.connections == 1


async def test_a_secure_connection_is_not_used_again(certificate: Certificate) -> None:
    """What the TLS library has read ahead of a response cannot be seen."""
    settings = HTTPSettings(ca_file=str(certificate.file))
    async with KeptConnections(tls=certificate.server_context()) as server, HTTPNode(settings) as node:
        for _ in range(2):
            await execute(node, f"{server.url}/mine")
    assert server.connections == 2


async def test_what_an_idle_connection_loses_is_not_sent_again_by_itself() -> None:
    """A server that closes it without an answer may have done what it was asked for; only the node's retries count."""
    async with KeptConnections(hangs_up=["lost"]) as server, HTTPNode() as node:
        for method in ("GET", "POST"):
            await execute(node, f"{server.url}/mine")
            with pytest.raises(NodeError, match="no complete HTTP response"):
                await execute(node, f"{server.url}/lost", method=method)
    assert server.requests["lost"] == 2
