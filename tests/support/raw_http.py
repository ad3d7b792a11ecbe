"""A web server that shows every byte it gets, and answers with the bytes that the test gives it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self


class Received(NamedTuple):
    """A request as it came over the wire; the names of the headers in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Respond = Callable[[Received], Awaitable[bytes]]
"""The bytes of a response, after which the connection is closed."""


def response(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    """A response with its length; underscores in the names of headers stand for hyphens."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


OK = response()


class RawServer:
    """Listens on a port of its own while it is entered.

    Args:
        respond: The response, or what makes one.
        head: Sent as soon as a request has arrived.
        tls: Makes it a secure server.

    Attributes:
        received: All requests so far.
        closed: Set when a client has closed its connection before it was answered.
    """

    def __init__(
        self, respond: Respond | bytes = OK, *, head: bytes = b"", tls: ssl.SSLContext | None = None
    ) -> None:
        self._respond = respond
        self._head = head
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self.closed = asyncio.Event()
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            received = await _read(reader)
            self.received.append(received)
            self.arrived.set()
            writer.write(self._head)
            if isinstance(self._respond, bytes):
                writer.write(self._respond)
            else:
                answer = asyncio.ensure_future(self._respond(received))
                gone = asyncio.ensure_future(reader.read(1))
                await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
                if answer.done():
                    writer.write(answer.result())
                else:
                    self.closed.set()
                    answer.cancel()
                gone.cancel()
                await asyncio.gather(answer, gone, return_exceptions=True)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed.set()
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Received(method, target, headers, body)


async def never(received: Received) -> bytes:
    """A respond that never does."""
    await asyncio.Event().wait()
    raise AssertionError
