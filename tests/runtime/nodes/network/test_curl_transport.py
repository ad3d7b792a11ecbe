"""The transport over libcurl: connections, and how requests share the event loop."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import httpx2
import pytest
from support.connections import KeptConnections
from support.raw_http import RawServer, Received, never, response

from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.authorities import Authorities
from flowgram_core.nodes.network.curl_transport import CurlTransport
from flowgram_core.nodes.network.transport import (
    HTTPResponse,
    TimeSlice,
    TransportError,
    TransportTimeout,
    at_once,
)


class Slices:
    """Time slices that the test gives: all that are asked for, until they are `held`.

    Attributes:
        asked: Those that wait for theirs.
    """

    def __init__(self) -> None:
        self.held = False
        self.asked: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    async def __call__(self) -> None:
        if not self.held:
            return
        slice_ = asyncio.get_running_loop().create_future()
        self.asked.append(slice_)
        self._changed.set()
        await slice_

    async def waiting(self, count: int) -> None:
        """Returns once so many have asked."""
        while len(self.asked) < count:
            self._changed.clear()
            await self._changed.wait()

    def give(self) -> None:
        """Gives one slice, to who asked first."""
        self.asked.pop(0).set_result(None)


class Gate:
    """A response that is sent when the gate opens."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0
        self._changed = asyncio.Event()

    async def __call__(self, received: Received) -> bytes:
        self.waiting += 1
        self._changed.set()
        await self.opened.wait()
        return response(b"ok")

    async def reached(self, count: int) -> None:
        while self.waiting < count:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def transport_of(
    time_slice: TimeSlice = at_once, *, max_keepalive: int = 5, keepalive: float = 60
) -> AsyncIterator[CurlTransport]:
    transport = CurlTransport(
        authorities=Authorities(), max_keepalive=max_keepalive, keepalive=keepalive, time_slice=time_slice
    )
    try:
        yield transport
    finally:
        await transport.aclose()


async def whole(answer: HTTPResponse) -> bytes:
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


async def fetch(transport: CurlTransport, url: str, **more: float) -> bytes:
    return await whole(await transport.send("GET", parse_url(url), [], None, **more))


async def test_a_request_has_its_host_and_no_header_that_nobody_gave() -> None:
    """Not even those that libcurl is fond of; one may have no value, and bytes beyond ASCII."""
    async with RawServer() as server, transport_of() as transport:
        headers = [(b"x-empty", b""), (b"x-bytes", b"\xff a"), (b"Content-Length", b"99"), (b"Expect", b"x")]
        await whole(await transport.send("POST", parse_url(server.url), headers, b"x" * 2_000_000))
        await whole(await transport.send("GET", parse_url(server.url), [], None))
    posted, got = server.received
    assert posted.headers == {
        "host": f"127.0.0.1:{server.port}",
        "x-empty": "",
        "x-bytes": "\xff a",
        "content-length": "2000000",
    }
    assert len(posted.body) == 2_000_000
    assert got.headers == {"host": f"127.0.0.1:{server.port}"}


@pytest.mark.parametrize("target", ["/a//b/%2e/c", "/?", "/?a=%zz&b[]=1|2", "/%", "/a;b=c,d"])
async def test_the_path_is_sent_as_it_is(target: str) -> None:
    """Whatever libcurl would make of it."""
    async with RawServer() as server, transport_of() as transport:
        url = httpx2.URL(server.url).copy_with(raw_path=target.encode())
        await whole(await transport.send("GET", url, [], None))
    assert server.received[0].target == target


async def test_a_connection_is_used_again_but_not_when_it_is_old() -> None:
    """Nor where none are kept."""
    async with KeptConnections() as server:
        async with transport_of() as transport:
            for _ in range(3):
                assert await fetch(transport, f"{server.url}/p") == b"p"
        assert server.connections == 1
        async with transport_of(max_keepalive=0) as transport:
            for _ in range(3):
                assert await fetch(transport, f"{server.url}/p") == b"p"
        assert server.connections == 4


async def test_no_more_idle_connections_are_kept_than_may_be() -> None:
    """Of many that were used at once, those used last are used again."""
    async with KeptConnections() as server, transport_of(max_keepalive=2) as transport:
        for _ in range(2):
            bodies = await asyncio.gather(*(fetch(transport, f"{server.url}/p") for _ in range(8)))
            assert bodies == [b"p"] * 8
        assert 8 <= server.connections <= 16
        before = server.connections
        for _ in range(4):
            await fetch(transport, f"{server.url}/p")
        assert server.connections == before


async def test_a_body_that_was_sent_is_not_kept() -> None:
    """The handle of its request is used again, and would hold megabytes until then."""
    body = bytes(100_000)
    before = sys.getrefcount(body)
    async with RawServer() as server, transport_of() as transport:
        await whole(await transport.send("POST", parse_url(server.url), [], body))
        assert sys.getrefcount(body) == before


async def test_requests_that_share_a_handle_are_as_those_of_new_ones() -> None:
    """Whatever the one before has sent: nothing of it is sent again, and nothing is left out that is the same."""
    private = [(b"authorization", b"Bearer x"), (b"Accept", b"a/b")]
    usual = ((b"accept", b"*/*"), (b"accept-encoding", b"gzip"), (b"user-agent", b"me"))
    requests: list[tuple[str, Sequence[tuple[bytes, bytes]], bytes | None]] = [
        ("/a", private, b"first"),
        ("/b", usual, b""),
        ("/b?c", usual, b"second"),
        ("/b?c", list(usual), b"third"),
        ("/a", [], b"x"),
        ("/a", usual, b"x"),
        ("/a", [*usual, *private], b"x"),
        ("/a", [*usual, (b"x-empty", b"")], b"x"),
        ("/a", [], b""),
    ]
    async with RawServer() as server:
        async with transport_of() as transport:
            for path, headers, body in requests:
                await whole(await transport.send("POST", parse_url(server.url + path), headers, body))
        for path, headers, body in requests:
            async with transport_of() as transport:
                await whole(await transport.send("POST", parse_url(server.url + path), headers, body))
        received = server.received
    assert received[: len(requests)] == received[len(requests) :]


async def test_many_requests_at_once() -> None:
    """More than one pool of libcurl holds are all open at the same time, and all are answered."""
    gate = Gate()
    async with RawServer(gate) as server, transport_of() as transport:
        requests = [asyncio.create_task(fetch(transport, server.url)) for _ in range(600)]
        await gate.reached(600)
        gate.opened.set()
        assert set(await asyncio.gather(*requests)) == {b"ok"}


async def test_answers_that_come_at_once_are_handed_on_one_time_slice_after_the_other() -> None:
    """All have arrived, and as many requests have ended as slices were given."""
    slices, gate = Slices(), Gate()
    async with RawServer(gate) as server, transport_of(slices) as transport:
        requests = [asyncio.create_task(fetch(transport, server.url)) for _ in range(10)]
        await gate.reached(10)
        slices.held = True
        gate.opened.set()
        await slices.waiting(10)
        for ended in range(10):
            assert sum(request.done() for request in requests) == ended
            slices.give()
            await asyncio.wait(
                [request for request in requests if not request.done()], return_when=asyncio.FIRST_COMPLETED
            )
        assert [request.result() for request in requests] == [b"ok"] * 10


async def test_nothing_is_sent_before_its_time_slice() -> None:
    """Connecting costs time, too."""
    slices = Slices()
    slices.held = True
    async with RawServer() as server, transport_of(slices) as transport:
        requests = [asyncio.create_task(fetch(transport, server.url)) for _ in range(5)]
        await slices.waiting(5)
        assert server.received == []
        slices.held = False
        while slices.asked:
            slices.give()
        assert await asyncio.gather(*requests) == [b""] * 5


async def started(server: RawServer) -> None:
    await server.arrived.wait()


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_a_request_that_is_canceled_closes_its_connection(head: bytes) -> None:
    """The other side sees it, before the response and within it."""
    async with RawServer(never, head=head) as server, transport_of() as transport:
        request = asyncio.create_task(fetch(transport, server.url))
        await server.arrived.wait()
        request.cancel()
        await server.closed.wait()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_who_is_canceled_before_the_time_slice_leaves_no_connection() -> None:
    """Though the head of the response has come."""
    slices = Slices()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
    async with RawServer(never, head=head) as server, transport_of(slices) as transport:
        request = asyncio.create_task(fetch(transport, server.url))
        await server.arrived.wait()
        slices.held = True
        await slices.waiting(1)
        request.cancel()
        await server.closed.wait()
        with pytest.raises(asyncio.CancelledError):
            await request


async def test_a_response_that_is_closed_early_closes_its_connection() -> None:
    """The rest of it is not waited for."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    async with RawServer(never, head=head) as server, transport_of() as transport:
        answer = await transport.send("GET", parse_url(server.url), [], None)
        assert await answer.read() == b"half"
        answer.close()
        await server.closed.wait()


async def test_silence_ends_at_the_time_out() -> None:
    """Before the response and within it."""
    for head in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"):
        async with RawServer(never, head=head) as server, transport_of() as transport:
            with pytest.raises(TransportTimeout, match="was silent for too long"):
                await fetch(transport, server.url, read_timeout=0.1)


async def test_a_server_is_not_read_faster_than_its_response_is_taken() -> None:
    """It is held back, with a bounded part of the body in memory; then all of it arrives."""
    size = 32 * 1024 * 1024
    drained = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        writer.write(b"x" * size)
        await writer.drain()
        drained.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, transport_of() as transport:
        port = server.sockets[0].getsockname()[1]
        answer = await transport.send("GET", parse_url(f"http://127.0.0.1:{port}/"), [], None)
        first = await answer.read()
        for _ in range(200):
            await asyncio.sleep(0)
        second = await answer.read()
        assert len(first) + len(second) < 2 * 1024 * 1024
        assert not drained.is_set()
        rest = await whole(answer)
        assert len(first) + len(second) + len(rest) == size


async def test_closing_ends_what_is_open() -> None:
    """Those who wait get the error, and later requests are refused."""
    async with RawServer(never) as server, transport_of() as transport:
        request = asyncio.create_task(fetch(transport, server.url))
        await server.arrived.wait()
        await transport.aclose()
        with pytest.raises(TransportError, match="the server stops"):
            await request
        with pytest.raises(TransportError, match="the server stops"):
            await fetch(transport, server.url)


@pytest.mark.parametrize(
    "answer",
    [
        lambda: (
            b"HTTP/1.1 100 Continue\r\n\r\n" * 3
            + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
            + response(b"ok")
        ),
        lambda: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: 1\r\n\r\n",
        lambda: b"HTTP/1.1 200 OK\n\nok",
        lambda: b"HTTP/1.0 200\r\n\r\nok",
    ],
)
async def test_odd_heads_are_read(answer: Callable[[], bytes]) -> None:
    """Responses before the response, trailers after it, and those of old servers."""
    async with RawServer(answer()) as server, transport_of() as transport:
        got = await transport.send("GET", parse_url(server.url), [], None)
        assert await whole(got) == b"ok"
        assert not {b"link", b"x-trailer"} & {name for name, _ in got.headers}
