"""An HTTP endpoint whose answers wait until they are released, or for a fixed time."""

import asyncio
import math
from collections import deque
from typing import Self

_ANSWER = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"


_TICK = 0.01


class SlowPeer:
    """Listens on the loopback, on the running event loop, while it is entered.

    Args:
        delay: Seconds until a request is answered; None: when it is released.

    Attributes:
        open: How many requests wait for their answers.
        changed: Set whenever that changes.
        released: While it is set, requests that come are answered at once; see `release` for those that wait.
        url: Where it listens.
    """

    def __init__(self, delay: float | None = None) -> None:
        self._delay = delay
        self.open = 0
        self.changed = asyncio.Event()
        self.released = asyncio.Event()
        self.url = ""
        self._waiting: deque[asyncio.Event] = deque()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=4096)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *failure: object) -> None:
        if self._server is not None:
            self._server.close()

    async def waiting(self, count: int) -> None:
        """Returns once so many requests wait."""
        while self.open != count:
            self.changed.clear()
            await self.changed.wait()

    async def release(self, per_second: float) -> None:
        """Answers the requests that wait, those that came first before others, until all are answered."""
        while self._waiting:
            for _ in range(math.ceil(min(len(self._waiting), per_second * _TICK))):
                self._waiting.popleft().set()
            await asyncio.sleep(_TICK)

    async def _release(self) -> None:
        if self._delay is not None:
            await asyncio.sleep(self._delay)
        elif not self.released.is_set():
            released = asyncio.Event()
            self._waiting.append(released)
            await released.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self._count(1)
            try:
                await self._release()
            finally:
                self._count(-1)
            writer.write(_ANSWER)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    def _count(self, by: int) -> None:
        self.open += by
        self.changed.set()
