"""HTTP connections are bounded in number and in how long their peers may take."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send

from flowgram_server.address import listen_on
from flowgram_server.http_connection import ConnectionCount
from flowgram_server.http_listener import listening
from flowgram_server.settings.gateway import ConnectionLimits

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SHORT = 0.05
LONG = 60.0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, whatever is sent; of `/large` more than a socket holds."""
    size = 64 * 1024 * 1024 if scope["path"] == "/large" else 2
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": b"x" * size, "more_body": False})


@asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[int]:
    """The port of a server with these limits."""
    with listen_on("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        async with listening(app, listener, limits=limits, grace=0):
            yield port


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection; gives up after a while."""
    try:
        async with asyncio.timeout(10):
            while await reader.read(65536):
                pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nbegin",
        GET + b"GET / HT",
    ],
    ids=["nothing", "half a head", "a body that was answered and never ends", "half a second head"],
)
async def test_a_peer_that_stops_sending_is_closed(sent: bytes) -> None:
    """Its connection costs a descriptor, and is closed after the time-out."""
    async with serving(ConnectionLimits(header_timeout=SHORT)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await is_closed(reader)
        writer.close()


async def test_a_head_that_trickles_in_is_closed() -> None:
    """Bytes that come now and then do not move the deadline."""
    async with serving(ConnectionLimits(header_timeout=SHORT)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closed = asyncio.create_task(is_closed(reader))
        writer.write(b"GET / HTTP/1.1\r\n")
        while not closed.done():
            writer.write(b"X: y\r\n")
            await asyncio.wait([closed], timeout=SHORT / 5)
        assert closed.result()
        writer.close()


async def test_a_peer_that_does_not_read_is_closed() -> None:
    """An answer that nobody reads is not kept for ever."""
    async with serving(ConnectionLimits(write_timeout=SHORT)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET.replace(b"/ ", b"/large "))
        await reader.readline()
        while not writer.is_closing():
            try:  # a connection that was reset says so when it is written to
                writer.write(b" ")
                await asyncio.wait_for(writer.drain(), 10)
            except ConnectionError:
                break
            await asyncio.sleep(SHORT / 5)
        writer.close()


async def test_one_connection_too_many_is_closed() -> None:
    """Those that are open go on; there is room again when one of them has ended."""
    async with serving(ConnectionLimits(max_connections=2)) as port, AsyncExitStack() as stack:
        peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for _, writer in peers:
            stack.callback(writer.close)
        for reader, writer in peers:  # they are known to the server now
            writer.write(GET)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await is_closed(reader)
        writer.close()
        reader, writer = peers[0]
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nxx")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
        answered = b""
        while not answered:  # until the server has noticed the end
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(GET)
            try:
                answered = await reader.readline()
            except ConnectionError:
                continue
            finally:
                writer.close()
        assert answered.startswith(b"HTTP/1.1 200")


def test_the_limit_is_logged_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for many refusals within some seconds."""
    now = 0.0
    count = ConnectionCount(ConnectionLimits(max_connections=1), lambda: now)
    assert count.admit("a")
    assert not any(count.admit("b") for _ in range(100))
    now = 11.0
    assert not count.admit("c")
    lines = [line for line in capsys.readouterr().out.splitlines() if "too many HTTP connections" in line]
    assert len(lines) == 2
