"""What an OpenAI-compatible API answers: a chat completion in chunks, or in one piece, of which memory holds a bounded part."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, Final

import httpx2

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.llm.event_stream import Event, EventStream
from flowgram_core.nodes.node_settings import MIB

MAX_ERROR_LENGTH: Final = 2000
"""Characters of an API's error that are shown."""

_ESCAPED: Final = 6
"""Bytes of JSON for a byte of text, at most: `\\u0000`."""
_BESIDE_THE_TEXT: Final = MIB
_DONE: Final = b"[DONE]"
_UNKNOWN_ERROR: Final = "An error occurred during streaming"
_DRAINED_FOR: Final = 0.1
"""Seconds in which an API may end its response after the last event, so that the connection can be used again."""


class Answer:
    """An answer, as far as it has come.

    Args:
        host: The API, for messages.
        max_bytes: Of the text, in UTF-8.
        emit: Gets each piece of the text.

    Attributes:
        begun: Whether the API has answered at all.
    """

    def __init__(self, host: str, max_bytes: int, emit: Callable[[str], None]) -> None:
        self.begun = False
        self._host = host
        self._max_bytes = max_bytes
        self._max_unread = max_bytes * _ESCAPED + _BESIDE_THE_TEXT
        self._emit = emit
        self._parts: list[str] = []
        self._size = 0
        self._has_choice = False
        self._is_finished = False

    async def read(self, response: httpx2.Response) -> str:
        """Reads a response to its end, and gives the text.

        Raises:
            NodeError: It is no chat completion, or not all of one, or too long, or the API tells of an error.
            httpx2.HTTPError: The connection broke, or was silent for too long.
        """
        self.begun = True
        media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        pieces = response.aiter_bytes()
        if media_type == "application/json" or media_type.endswith("+json"):
            # An API that does not stream, though it was asked to.
            await self._read_whole(pieces)
        else:
            # Some call their events plain text, or nothing.
            await self._read_events(pieces, media_type)
        return "".join(self._parts)

    async def _read_whole(self, pieces: AsyncIterator[bytes]) -> None:
        body = bytearray()
        async for piece in pieces:
            body += piece
            self._check_unread(len(body))
        completion = self._parse(bytes(body))
        self._refuse_error(completion.get("error"))
        try:
            content = completion["choices"][0]["message"]["content"]
        except (LookupError, TypeError) as error:
            raise self._no_completion() from error
        self._add(content)

    async def _read_events(self, pieces: AsyncIterator[bytes], media_type: str) -> None:
        events = EventStream()
        is_stream = False
        async for piece in pieces:
            for event in events.feed(piece):
                is_stream = True
                if event.data.startswith(_DONE):
                    await _drain(pieces)
                    self._check_end(is_done=True)
                    return
                self._take(event)
            self._check_unread(events.held)
        unfinished = events.unfinished
        if not is_stream and not unfinished and media_type != "text/event-stream":
            kind = f'"{media_type[:100]}"' if media_type else "of no type"
            raise NodeError(
                f'The answer of api "{self._host}" is neither an event stream nor JSON, but {kind}'
            )
        self._check_end(is_done=unfinished.startswith(_DONE))

    def _take(self, event: Event) -> None:
        if event.type == b"error":
            self._refuse_error_event(event)
        chunk = self._parse(event.data)
        # Old versions of vLLM have no "error" around it.
        self._refuse_error(chunk if chunk.get("object") == "error" else chunk.get("error"))
        choices = chunk.get("choices") or ()
        if not isinstance(choices, list | tuple):
            raise self._no_completion()
        for choice in choices:
            if not isinstance(choice, dict):
                raise self._no_completion()
            if not choice.get("index"):
                self._has_choice = True
                self._is_finished = self._is_finished or bool(choice.get("finish_reason"))
                # Some chunks have no delta, such as those of Azure that bring the verdict of a filter.
                delta = choice.get("delta") or {}
                if not isinstance(delta, dict):
                    raise self._no_completion()
                self._add(delta.get("content"))

    def _add(self, content: Any) -> None:
        if not content:
            return
        if not isinstance(content, str):
            raise self._no_completion()
        self._size += len(content.encode("utf-8", "surrogatepass"))
        if self._size > self._max_bytes:
            raise self._too_long()
        self._parts.append(content)
        self._emit(content)

    def _parse(self, text: bytes) -> JSONObject:
        try:
            value = json_text.loads(text)
        except json_text.JSONTextError as error:
            raise self._no_completion() from error
        if not isinstance(value, dict):
            raise self._no_completion()
        return value

    def _refuse_error_event(self, event: Event) -> None:
        try:
            value = json_text.loads(event.data)
        except json_text.JSONTextError:
            value = event.data.decode("utf-8", "replace")
        self._refuse_error((isinstance(value, dict) and value.get("error")) or value or _UNKNOWN_ERROR)

    def _refuse_error(self, error: Any) -> None:
        """Raises an error as OpenAI's library does. None, and others that are false, are none."""
        if not error:
            return
        message = error.get("message") if isinstance(error, dict) else error
        if not message or not isinstance(message, str):
            message = _UNKNOWN_ERROR
        raise NodeError(message[:MAX_ERROR_LENGTH])

    def _check_end(self, *, is_done: bool) -> None:
        if not self._is_finished and not is_done:
            raise NodeError(f'Network error: the answer of api "{self._host}" broke off')
        if not self._has_choice:
            raise self._no_completion()

    def _check_unread(self, size: int) -> None:
        """Ends an answer of which more is held, to be parsed in one piece, than the longest text can take."""
        if size > self._max_unread:
            raise self._too_long()

    def _too_long(self) -> NodeError:
        return NodeError(f"The answer is longer than the limit llm.max_answer_bytes = {self._max_bytes}")

    def _no_completion(self) -> NodeError:
        return NodeError(f'The answer of api "{self._host}" is not a chat completion')


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_DRAINED_FOR):
            async for _ in pieces:
                pass
