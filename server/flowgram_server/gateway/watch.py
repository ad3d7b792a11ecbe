"""Watches: the events of a task, and the changes of tasks, as Server-Sent Events; the former also in the contract's own encoding.

    reader: gRPC stream -> outbox        writer: outbox -> HTTP connection

The outbox between the two is bounded: a client that reads slowly holds up the writer, that the reader, and that the gRPC
stream, whose server waits then. Either end's leaving ends both, and never touches the task. The gRPC client goes on after
the last event when the server was restarted; so does a browser, by `Last-Event-ID`, when the gateway was.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, NamedTuple

from fastapi import Response
from starlette.types import Receive, Scope, Send

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest
from flowgram_client import RequestError, Status, View
from flowgram_client._raw import RawClient
from flowgram_server.gateway import json_encoding
from flowgram_server.gateway.errors import answer_to
from flowgram_server.gateway.event_encoding import pieces, serialized, serialized_failure
from flowgram_server.gateway.responses import error_body

HEARTBEAT: Final = b": heartbeat\n\n"

_FIRST: Final = 1.0
"""Seconds in which a refusal of the watch, or its end, may still become the status of the answer."""

_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",  # nginx would collect events otherwise
}
_OUTBOX_BYTES: Final = 64 * 1024


class WatchQuery(NamedTuple):
    """What to watch.

    Attributes:
        task_id: The task.
        after: The sequence of the last event that the client has seen.
        deltas: Whether to send pieces of outputs as they arrive.
        view: How much of each event.
        until: The sequence of the last event to send; None: the task's last.
    """

    task_id: str
    after: int
    deltas: bool
    view: View = View.FULL
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an answer is written.

    Attributes:
        media_type: Its name.
        beginning: Comes first.
        heartbeat: Comes when there was silence.
        failure: What says, at the end, that an error ended the watch; it is given the body of that error.
    """

    media_type: str
    beginning: bytes
    heartbeat: bytes
    failure: Callable[[bytes], bytes]


SERVER_SENT_EVENTS: Final = Encoding(
    "text/event-stream",
    # Browsers come back so many milliseconds after the connection broke. It also shows at once that the watch is on.
    b"retry: 1000\n\n",
    HEARTBEAT,
    lambda body: b"event: failure\ndata: %b\n\n" % body,
)
_NOTHING_HAPPENED: Final = serialized([TaskEvent()])
PROTOBUF: Final = Encoding("application/x-protobuf", _NOTHING_HAPPENED, _NOTHING_HAPPENED, serialized_failure)
"""One `WatchTaskResponse` that grows. A heartbeat is an event in which nothing happened; one comes first."""


class Outbox:
    """Encoded events on their way from one reader to one writer.

    Args:
        limit: Bytes beyond which the reader has to wait.

    Attributes:
        error: Why the events ended early; None if they did not.
    """

    def __init__(self, limit: int = _OUTBOX_BYTES) -> None:
        self.error: RequestError | None = None
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Adds events, and waits for room if there is none left."""
        self._parts.append(data)
        self._size += len(data)
        self._news.set()
        if self._size > self._limit:
            self._room.clear()
            await self._room.wait()

    def close(self, error: RequestError | None = None) -> None:
        """Nothing more will come."""
        self.error = error
        self._closed = True
        self._news.set()

    @property
    def finished(self) -> bool:
        """Whether nothing is left and nothing will come."""
        return self._closed and not self._parts

    async def wait(self, seconds: float) -> bool:
        """Waits until there is something, or nothing will come; False if the time was over before."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    def take(self) -> bytes:
        """All that has come."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        if not self._closed:
            self._news.clear()
        self._room.set()
        return data


Frames = Callable[[], AsyncGenerator[bytes, None]]
"""Opens a watch, and gives what to send, each part a whole number of events."""


class WatchResponse(Response):
    """Answers with what a watch gives until it ends. What keeps it from beginning is raised as an error.

    Args:
        client: Tells whether the server is there.
        frames: Opens the watch.
        stopping: Ends the answer; the client is to come back then.
        heartbeat: Seconds of silence after which a sign of life is sent.
        encoding: How `frames` are encoded.
    """

    def __init__(
        self,
        client: RawClient,
        frames: Frames,
        *,
        stopping: asyncio.Event,
        heartbeat: float,
        encoding: Encoding = SERVER_SENT_EVENTS,
    ) -> None:
        super().__init__(headers=_HEADERS, media_type=encoding.media_type)
        self._encoding = encoding
        del self.headers["content-length"]
        self._client = client
        self._frames = frames
        self._stopping = stopping
        self._heartbeat = heartbeat
        self._started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Sends the answer.

        Raises:
            RequestError: The task cannot be watched, for a reason that came before anything was sent.
        """
        if self._stopping.is_set():
            await self._come_back(send)
            return
        # Says at once what the watch itself would try to wait out: that there is no server.
        await self._client.call("ServerInfo", ServerInfoRequest())
        outbox = Outbox()
        reader = asyncio.create_task(self._read(outbox), name="watch reader")
        writer = asyncio.create_task(self._write(outbox, send), name="watch writer")
        gone = asyncio.create_task(_disconnect(receive), name="watch disconnect")
        stop = asyncio.create_task(self._stopping.wait(), name="watch stop")
        tasks = (reader, writer, gone, stop)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and reader.exception() is None:
                await asyncio.wait((writer, gone, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in (reader, writer):
            if not task.cancelled():
                task.result()
        if not self._started:
            await self._come_back(send)
        elif not gone.done() or gone.cancelled():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _come_back(self, send: Send) -> None:
        """Answers with a stream that ends: to any refusal, a browser would not come back."""
        await self._begin(send)
        await send({"type": "http.response.body", "body": self._encoding.beginning, "more_body": False})

    async def _begin(self, send: Send) -> None:
        self._started = True
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})

    async def _read(self, outbox: Outbox) -> None:
        """Fills the outbox."""
        try:
            async with aclosing(self._frames()) as frames:
                async for part in frames:
                    await outbox.put(part)
        except RequestError as error:
            outbox.close(error)
        else:
            outbox.close()

    async def _write(self, outbox: Outbox, send: Send) -> None:
        """Empties the outbox."""
        await outbox.wait(_FIRST)
        if outbox.finished:
            if outbox.error is not None:
                raise outbox.error
            # Only this tells a browser that the events it has are all there are.
            self.status_code = HTTPStatus.NO_CONTENT
        await self._begin(send)
        if self.status_code == HTTPStatus.NO_CONTENT:
            return
        encoding = self._encoding
        await _send_part(send, encoding.beginning)
        while not outbox.finished:
            await _send_part(
                send, outbox.take() if await outbox.wait(self._heartbeat) else encoding.heartbeat
            )
        if outbox.error is not None:
            await _send_part(send, encoding.failure(error_body(answer_to(outbox.error))))


async def event_frames(
    client: RawClient,
    query: WatchQuery,
    encode: Callable[[Sequence[TaskEvent]], Iterable[bytes]] = pieces,
) -> AsyncGenerator[bytes, None]:
    """The events of a task."""
    watch = client.watch_events(
        query.task_id, after_sequence=query.after, view=query.view, deltas=query.deltas
    )
    async with aclosing(watch) as events:
        async for batch in events:
            wanted = (
                batch if query.until is None else [each for each in batch if each.sequence <= query.until]
            )
            for piece in encode(wanted):
                yield piece
            if query.until is not None and max(each.sequence for each in batch) >= query.until:
                return


async def change_frames(
    client: RawClient, statuses: Iterable[Status], labels: Mapping[str, str]
) -> AsyncGenerator[bytes, None]:
    """The tasks of a filter as they change; `live` whenever a list of them would miss nothing from then on."""
    watch = client.watch_changes(statuses=statuses, labels=labels)
    async with aclosing(watch) as changes:
        async for response in changes:
            shaped = {"type": "live"} if response is None else json_encoding.task_changes(response)
            yield b"data: %b\n\n" % json_encoding.encode(shaped)


async def _send_part(send: Send, data: bytes) -> None:
    """Sends a part of the body; waits while the client does not read."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _disconnect(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
