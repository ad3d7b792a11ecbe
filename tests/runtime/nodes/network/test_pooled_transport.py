"""Connections: bounded, kept for the next request, and given back however a request ends."""

import asyncio
import ssl

import httpx2
import pytest
from support.raw_http import RawServer, Received, never, response

from flowgram_core.nodes.network.pooled_transport import PooledTransport


def connections(max_connections: int | None = None) -> PooledTransport:
    return PooledTransport(
        verify=ssl.create_default_context(), max_connections=max_connections, max_keepalive=5, keepalive=60
    )


class Held:
    """Answers once it is told to, and says how many wait."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.waiting = 0
        self.changed = asyncio.Event()

    async def __call__(self, received: Received) -> bytes:
        self.waiting += 1
        self.changed.set()
        await self.go.wait()
        return response(b"ok")

    async def reached(self, count: int) -> None:
        while self.waiting < count:
            self.changed.clear()
            await self.changed.wait()


async def test_many_requests_at_once() -> None:
    """More than one pool holds are all open at the same time, and all are answered."""
    held = Held()
    async with RawServer(held) as server, httpx2.AsyncClient(transport=connections(), timeout=None) as client:
        requests = [asyncio.create_task(client.get(server.url)) for _ in range(250)]
        await held.reached(250)
        held.go.set()
        assert {(await request).text for request in requests} == {"ok"}


async def test_requests_beyond_the_limit_wait() -> None:
    """The next one begins when one has ended, also when it was cancelled or has failed."""
    held = Held()
    async with (
        RawServer(held) as server,
        RawServer(b"nonsense") as broken,
        httpx2.AsyncClient(transport=connections(max_connections=2), timeout=None) as client,
    ):
        for _ in range(3):
            with pytest.raises(httpx2.RemoteProtocolError):
                await client.get(broken.url)
        first, second, third = (asyncio.create_task(client.get(server.url)) for _ in range(3))
        await held.reached(2)
        assert held.waiting == 2
        first.cancel()
        await held.reached(3)
        held.go.set()
        assert (await second).text == (await third).text == "ok"


async def test_a_request_that_is_canceled_closes_its_connection() -> None:
    """The other side sees it."""
    async with RawServer(never) as server, httpx2.AsyncClient(transport=connections()) as client:
        request = asyncio.create_task(client.get(server.url))
        await server.arrived.wait()
        request.cancel()
        await server.closed.wait()


async def test_a_connection_is_used_again() -> None:
    """Requests one after the other share one."""
    opened = 0
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx2.AsyncClient(transport=connections()) as client:
        assert [(await client.get(url)).text for _ in range(3)] == ["ok"] * 3
    await closed.wait()
    server.close()
    assert opened == 1
