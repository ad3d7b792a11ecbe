"""The other side of http and llm calls: answers by who asks, after random delays, and records every call."""

import asyncio
import json
import random
import time
from collections import defaultdict
from typing import NamedTuple, Self
from urllib.parse import unquote

_LONGEST_PAUSE = 2.0
_WORDS = 4


class CallKey(NamedTuple):
    """Which call it is.

    Attributes:
        tag: The task's tag.
        snapshot_id: The run of the node.
    """

    tag: str
    snapshot_id: str


class MockServer:
    """An HTTP server and an OpenAI-compatible endpoint on the loopback, on the running event loop.

    Args:
        chance: Chooses the delays.
        scale: Seconds that most delays stay below; 0 for none.

    Attributes:
        calls: For each call, when it came (`time.monotonic`).
        scale: As above; may be changed.
        broken: How many callers were gone before they were answered.
    """

    def __init__(self, chance: random.Random, scale: float) -> None:
        self.calls: dict[CallKey, list[float]] = defaultdict(list)
        self.broken = 0
        self._chance = chance
        self.scale = scale
        self._server: asyncio.Server | None = None
        self.base_url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
            }
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            target = unquote(first.split(" ")[1])
            if target == "/v1/chat/completions":
                await self._complete(json.loads(body), unquote(headers["idempotency-key"]), writer)
            else:
                tag, _, snapshot_id = target.removeprefix("/").partition("/")
                await self._answer(CallKey(tag, snapshot_id), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.broken += 1
        finally:
            writer.close()

    async def _answer(self, key: CallKey, writer: asyncio.StreamWriter) -> None:
        self.calls[key].append(time.monotonic())
        await self._pause(1)
        body = f"body of {key.snapshot_id}".encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
        )
        await writer.drain()

    async def _complete(
        self, request: dict[str, object], idempotency_key: str, writer: asyncio.StreamWriter
    ) -> None:
        tag = str(request["messages"][-1]["content"])  # type: ignore[index]  # as the API defines it
        _, _, snapshot_id = idempotency_key.partition("/")
        self.calls[CallKey(tag, snapshot_id)].append(time.monotonic())
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n")
        for index in range(_WORDS):
            await self._pause(_WORDS)
            self._event(writer, {"content": f"word {index} of {snapshot_id}. "}, None)
            await writer.drain()
        self._event(writer, {}, "stop")
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()

    @staticmethod
    def _event(writer: asyncio.StreamWriter, delta: dict[str, str], finish_reason: str | None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        chunk = {
            "id": "c",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": "torture",
            "choices": [choice],
        }
        writer.write(b"data: %b\n\n" % json.dumps(chunk).encode())

    async def _pause(self, parts: int) -> None:
        """Most answers take a moment, some none at all, and a few very long."""
        if not self.scale:
            return
        kind = self._chance.random()
        longest = 0.0 if kind < 0.2 else _LONGEST_PAUSE if kind > 0.95 else self.scale
        await asyncio.sleep(self._chance.uniform(0, longest) / parts)
