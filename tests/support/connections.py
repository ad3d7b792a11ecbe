"""A web server that keeps its connections, and answers each request with the bytes that a test gives for its path."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple, Self


class Late(NamedTuple):
    """Bytes that are sent once a test lets them, while the connection is idle."""

    first: bytes
    later: bytes


def whole(body: bytes, *headers: str) -> bytes:
    """A response with its length, after which the connection is kept."""
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


Answer = bytes | list[bytes] | Late
"""A list is sent in one go, each piece in a TLS record of its own."""


class KeptConnections:
    """Listens on a port of its own while it is entered. What it has no answer for it answers with its path.

    Args:
        answers: By path, without its slash.
        hangs_up: Paths at which it closes the connection without an answer.
        tls: Makes it a secure server.

    Attributes:
        requests: How often each path was asked for.
        connections: How many were opened.
        late: Set by the test: what is late is sent now.
        sent: Set when it was.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer] | None = None,
        *,
        hangs_up: Collection[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._answers = answers or {}
        self._hangs_up = hangs_up
        self._tls = tls
        self._server: asyncio.Server | None = None
        self.requests: Counter[str] = Counter()
        self.connections = 0
        self.late = asyncio.Event()
        self.sent = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        # A connection that was made at last, and is of no use, has to be taken up before, or nobody closes it.
        for _ in range(10):
            await asyncio.sleep(0)
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ")[1].removeprefix("/").partition("?")[0]
                for line in head.lower().split("\r\n"):
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                self.requests[path] += 1
                if path in self._hangs_up:
                    return
                answer = self._answers.get(path, whole(path.encode()))
                if isinstance(answer, Late):
                    writer.write(answer.first)
                    await self.late.wait()
                    writer.write(answer.later)
                    await writer.drain()
                    self.sent.set()
                else:
                    for piece in [answer] if isinstance(answer, bytes) else answer:
                        writer.write(piece)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
