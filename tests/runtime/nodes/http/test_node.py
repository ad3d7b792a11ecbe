"""http: requests as a server sees them, and responses as the node gives them."""

import gzip
import zlib
from typing import Any

import pytest
from support.http_node import execute, failure, send
from support.raw_http import RawServer, Received, response

from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.node_settings import HTTPSettings


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
async def test_every_method_arrives(method: str) -> None:
    """With its query, and the headers that every request has."""
    async with RawServer() as server:
        await send(f"{server.url}/p?a=1#f", method=method, params={"b": "x y"}, headers={"X-Mine": "é"})
    (received,) = server.received
    assert (received.method, received.target, received.body) == (method, "/p?a=1&b=x+y", b"")
    assert received.headers["x-mine"] == "é"
    assert received.headers["accept"] == "*/*"
    assert received.headers["user-agent"] == "flowgram-server"
    assert received.headers["host"] == f"127.0.0.1:{server.port}"
    assert ("content-length" in received.headers) == (method in {"POST", "PUT", "PATCH"})


@pytest.mark.parametrize(
    ("body_type", "body", "sent", "content_type"),
    [
        ("JSON", '{ "a": "é" }', b'{ "a": "\xc3\xa9" }', "application/json"),
        ("raw-text", "a\nb\ud800", b"a\nb\xef\xbf\xbd", "text/plain"),
        ("binary", "\x00\xff", b"\x00\xc3\xbf", "application/octet-stream"),
        (
            "x-www-form-urlencoded",
            '{"a b":"é&~*","n":1e21,"t":true,"z":null,"l":[1,[2]],"o":{}}',
            b"a+b=%C3%A9%26%7E*&n=1e%2B21&t=true&z=null&l=1%2C2&o=%5Bobject+Object%5D",
            "application/x-www-form-urlencoded",
        ),
        ("x-www-form-urlencoded", "{}", b"", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_bodies_arrive_byte_for_byte(
    method: str, body_type: str, body: str, sent: bytes, content_type: str
) -> None:
    """Each body type with its Content-Type, and the length of what was sent."""
    async with RawServer() as server:
        await send(server.url, method=method, bodyType=body_type, body=body)
    (received,) = server.received
    assert received.body == sent
    assert received.headers["content-type"] == content_type
    assert received.headers.get("content-length", "0") == str(len(sent))


async def test_form_data_is_multipart() -> None:
    """The boundary of the header is that of the body."""
    async with RawServer() as server:
        await send(server.url, method="POST", bodyType="form-data", body='{"a":"é","n":1}')
    (received,) = server.received
    kind, _, boundary = received.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/form-data"
    assert (
        received.body
        == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="a"\r\n\r\né\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n'
            f"--{boundary}--\r\n"
        ).encode()
    )


async def test_headers_of_the_node_win() -> None:
    """User-Agent, Accept and Host too; the framing stays right whatever they say."""
    headers = {"User-Agent": "me", "ACCEPT": "text/html", "Host": "elsewhere", "Content-Length": "7"}
    async with RawServer() as server:
        await send(server.url, method="POST", bodyType="raw-text", body="abc", headers=headers)
    (received,) = server.received
    assert received.body == b"abc"
    assert {name: received.headers[name] for name in ("user-agent", "accept", "host", "content-length")} == {
        "user-agent": "me",
        "accept": "text/html",
        "host": "elsewhere",
        "content-length": "3",
    }


@pytest.mark.parametrize(
    "status", ["200 OK", "201 Created", "404 Not Found", "418 No", "500 Error", "304 Not Modified"]
)
async def test_any_status_is_a_success(status: str) -> None:
    """The node gives status, headers and body of whatever it got."""
    body = b"" if status.startswith("304") else b"body"
    async with RawServer(response(body, status, X_One="1", Content_Type="text/plain")) as server:
        outputs = await send(server.url)
    assert outputs["statusCode"] == int(status[:3])
    assert outputs["body"] == body.decode()
    assert outputs["headers"] == {
        "connection": "close",
        "content-length": str(len(body)),
        "content-type": "text/plain",
        "x-one": "1",
    }
    assert list(outputs) == ["headers", "statusCode", "body"]


async def test_headers_of_one_name_are_joined() -> None:
    """In lower case, in alphabetical order; several cookies, which must not be joined, are a list."""
    raw = b"HTTP/1.1 200 OK\r\nX-B: 1\r\nA: \xe9\r\nx-b: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    async with RawServer(raw) as server:
        outputs = await send(server.url)
    assert list(outputs["headers"].items()) == [
        ("a", "é"),
        ("content-length", "0"),
        ("set-cookie", ["a=1", "b=2"]),
        ("x-b", "1, 2"),
    ]


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        ("text/plain", "é😀".encode(), "é😀"),
        ("text/plain", b"\xff\xc3(\xe2\x82", "\ufffd\ufffd(\ufffd"),
        ("text/plain", b"\x00", "\0"),
        ("text/plain; charset=gbk", "你好".encode("gbk"), "你好"),
        ('text/plain; CharSet="ISO-8859-1"', b"gr\xfc\xdfe \x80", "grüße €"),
        ("text/plain; charset=utf-16", "ü".encode("utf-16-le"), "ü"),
        ("text/plain; charset=shift_jis", "テスト".encode("cp932"), "テスト"),
        ("text/plain; charset=no-such", "é".encode(), "é"),
        ("text/plain; charset=iso-8859-1", b"\xef\xbb\xbf\xc3\xa9", "é"),
        ("", b"\xfe\xff\x00\xe9", "é"),
    ],
)
async def test_bodies_are_decoded_by_their_label(content_type: str, body: bytes, text: str) -> None:
    """By the byte order mark before it, which goes, and without a label that is known as UTF-8."""
    async with RawServer(response(body, Content_Type=content_type)) as server:
        assert (await send(server.url))["body"] == text


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_compressed_bodies_are_unpacked(encoding: str, compress: Any) -> None:
    """The headers stay as they came."""
    async with RawServer(response(compress(b"packed" * 100), Content_Encoding=encoding)) as server:
        outputs = await send(server.url)
    assert outputs["body"] == "packed" * 100
    assert outputs["headers"]["content-encoding"] == encoding
    (received,) = server.received
    assert encoding in received.headers["accept-encoding"]


async def test_a_body_that_cannot_be_unpacked_is_an_error() -> None:
    """It is not tried again: the next would be the same."""
    async with RawServer(response(b"not gzip", Content_Encoding="gzip")) as server:
        assert await failure(server.url, retryTimes=3) == "HTTP response cannot be decompressed"
        assert len(server.received) == 1


@pytest.mark.parametrize("packed", [False, True])
async def test_large_bodies_are_refused(packed: bool) -> None:
    """Beyond the limit, which counts what is unpacked, the node fails without reading on."""
    settings = HTTPSettings(max_response_bytes=1000)
    for size, fits in ((1000, True), (1001, False)):
        body = b"x" * size
        answer = response(gzip.compress(body), Content_Encoding="gzip") if packed else response(body)
        async with RawServer(answer) as server:
            if fits:
                assert (await send(server.url, settings))["body"] == body.decode()
            else:
                assert (
                    await failure(server.url, settings)
                    == "HTTP response is larger than the limit http.max_response_bytes = 1000"
                )


@pytest.mark.parametrize(
    ("status", "method", "followed"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (301, "PUT", "PUT"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "GET", "GET"),
        (303, "HEAD", "HEAD"),
    ],
)
async def test_redirects_are_followed_as_fetch_does(status: int, method: str, followed: str) -> None:
    """Where the method becomes GET, the body and what describes it stay behind."""

    async def respond(received: Received) -> bytes:
        if received.target == "/from/here":
            return response(status=f"{status} Moved", Location="../to?x=1")
        return response(b"there" if received.method != "HEAD" else b"")

    async with RawServer(respond) as server:
        outputs = await send(
            f"{server.url}/from/here",
            method=method,
            bodyType="JSON",
            body="{}",
            headers={"Authorization": "secret", "X-Mine": "1"},
        )
    assert outputs["statusCode"] == 200
    second = server.received[1]
    assert (second.method, second.target) == (followed, "/to?x=1")
    kept_body = followed == method and method not in {"GET", "HEAD"}
    assert second.body == (b"{}" if kept_body else b"")
    assert ("content-type" in second.headers) == (followed == method)
    assert second.headers["authorization"] == "secret"
    assert second.headers["x-mine"] == "1"


async def test_credentials_do_not_follow_to_another_origin() -> None:
    """Authorization, cookies and the Host header stay with the server they were meant for."""
    async with (
        RawServer() as other,
        RawServer(response(status="302 Found", Location=f"{other.url}/")) as server,
    ):
        headers = {"Authorization": "secret", "Cookie": "a=1", "Host": "x", "X-Mine": "1"}
        await send(server.url, headers=headers)
    (received,) = other.received
    assert received.headers["host"] == f"127.0.0.1:{other.port}"
    assert received.headers["x-mine"] == "1"
    assert not {"authorization", "cookie"} & received.headers.keys()


async def test_redirects_end() -> None:
    """More than twenty are an error, as is one to an address that cannot be used; without Location it is a response."""
    async with RawServer(response(status="302 Found", Location="/again")) as server:
        assert await failure(server.url) == "HTTP request failed: more than 20 redirects"
        assert len(server.received) == 21
    async with RawServer(response(status="302 Found", Location="ftp://h/")) as server:
        assert "redirects to an address that cannot be used" in await failure(server.url)
    async with RawServer(response(b"here", status="302 Found")) as server:
        assert (await send(server.url))["statusCode"] == 302


async def test_cookies_are_not_kept() -> None:
    """What one request has received is nothing to the next, which may be another task's."""
    async with RawServer(response(Set_Cookie="a=1")) as server, HTTPNode() as node:
        await execute(node, server.url)
        await execute(node, server.url)
    assert "cookie" not in server.received[1].headers
