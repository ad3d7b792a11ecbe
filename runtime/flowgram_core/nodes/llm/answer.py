"""The answer of an OpenAI-compatible API: reads a chat completion, streamed or in one piece, within bounded memory."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import json_text
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.nodes.llm.api_response import APIResponse
from flowgram_core.nodes.llm.event_stream import EventStream
from flowgram_core.nodes.llm.usage import TokenUsage, usage_of
from flowgram_core.nodes.network.held_bytes import HeldShare
from flowgram_core.nodes.network.transport import TransportError
from flowgram_core.nodes.node_settings import MIB

MAX_ERROR_LENGTH: Final = 2000
"""Characters of an API's error that are shown."""

_ESCAPED: Final = 6
"""Bytes of JSON for a byte of text, at most: `\\u0000`."""
_BESIDE_THE_TEXT: Final = MIB
_CHARACTER: Final = 4
"""Bytes of memory that a character takes at most."""
_MEMORY_BESIDE_THE_TEXT: Final = 64 * MIB
_BLOCK: Final = 1000
"""Pieces of text that are joined: each takes fifty bytes of memory, be it ever so short."""
_PIECE: Final = 8 * 1024
"""Bytes of a stream after which others have their turn: about a thousand of the smallest events."""
_LARGE: Final = 32 * 1024
"""Bytes of JSON that are read in a thread: on the loop they would take more than a millisecond."""
_DONE: Final = b"[DONE]"
_NO_USAGE: Final = TokenUsage()
_UNKNOWN_ERROR: Final = "An error occurred during streaming"
_BOM: Final = b"\xef\xbb\xbf"
_BLANKS: Final = b" \t\r\n"
_COMPLETION_EVENTS: Final = frozenset({b"", b"message"})
_TEXT_PARTS: Final = frozenset({"text", "output_text"})
_MESSAGES: Final = (
    "message", "msg", "error_msg", "errmsg", "err_msg", "error_message", "errorMessage", "status_msg",
)  # fmt: skip
_CODES: Final = ("code", "error_code", "errcode", "err_code", "errorCode", "status_code")
_FINE: Final = (None, 0, "0", 200, "200", "", "ok", "OK", "success", "SUCCESS", "Success")
"""Codes that tell of no error."""
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
        usage: The tokens, as far as the API tells.
    """

    def __init__(self, host: str, max_bytes: int, emit: Callable[[str], None]) -> None:
        self.begun = False
        self.usage = _NO_USAGE
        self._host = host
        self._max_bytes = max_bytes
        self._max_unread = max_bytes * _ESCAPED + _BESIDE_THE_TEXT
        self._max_memory = max_bytes * _CHARACTER + _MEMORY_BESIDE_THE_TEXT
        self._emit = emit
        self._blocks: list[str] = []
        self._parts: list[str] = []  # behind the blocks
        self._shown = 0
        self._size = 0
        self._message: list[str] = []
        self._message_length = 0
        self._message_size = 0
        self._has_choice = False
        self._is_finished = False
        self._other_error: str | None = None

    async def read(self, response: APIResponse, share: HeldShare) -> str:
        """Reads a response to its end, and gives the text. What it holds meanwhile is its share of what all may hold.

        Whether it is a stream of events or one JSON text is seen from the body: labels are often wrong.

        Raises:
            NodeError: It is no chat completion, or not all of one, or too long, or the API tells of an error.
            TransportError: The connection broke, or was silent for too long.
        """
        self.begun = True
        start = await _beginning(response)
        try:
            if start[:1] in {b"{", b"["}:
                await self._read_whole(start, response, share)
            else:
                await self._read_events(start, response, share)
            if not self._size:
                self._add("".join(self._message))
        finally:
            self._show()
        return "".join(self._blocks) + "".join(self._parts)

    async def _read_whole(self, start: bytes, response: APIResponse, share: HeldShare) -> None:
        body = bytearray(start)
        self._check_unread(len(body))
        while piece := await response.read():
            body += piece
            self._check_unread(len(body))
            share.hold(len(body))
        if len(body) > _LARGE:
            await asyncio.to_thread(self._take_completion, body)
        else:
            self._take_completion(body)

    def _take_completion(self, body: bytearray) -> None:
        data = bytes(body)
        completion = self._parse(data)
        try:
            self._refuse_error(_error_of(completion))
            self.usage = usage_of(completion) or self.usage
            try:
                choice = completion["choices"][0]
                content = (choice["message"] if "message" in choice else choice["delta"])["content"]
            except (LookupError, TypeError) as error:
                raise self._no_completion() from error
            self._add(self._text_of(content))
        finally:
            _dispose_if_large(data, completion)

    async def _read_events(self, start: bytes, response: APIResponse, share: HeldShare) -> None:
        events = EventStream()
        is_stream = False
        piece = start
        while piece:
            for position in range(0, len(piece), _PIECE):
                if position:
                    await response.pause()
                part = piece[position : position + _PIECE] if len(piece) > _PIECE else piece
                for event_type, data in events.feed(part):
                    is_stream = True
                    if data.startswith(_DONE):
                        self._show()
                        if not response.is_over:
                            await _drain(response)
                        self._check_end(is_done=True)
                        return
                    if len(data) > _LARGE:
                        await asyncio.to_thread(self._take, event_type, bytes(data))
                    else:
                        self._take(event_type, bytes(data))
            self._show()
            self._check_unread(events.held)
            share.hold(events.held + self._size + self._message_size)
            piece = await response.read()
        unfinished, media_type = events.unfinished, response.media_type
        if not is_stream and not unfinished and media_type != "text/event-stream":
            if media_type == "application/json" or media_type.endswith("+json"):
                raise self._no_completion()
            kind = f'"{media_type[:100]}"' if media_type else "of no type"
            raise NodeError(
                f'The answer of api "{self._host}" is neither an event stream nor JSON, but {kind}'
            )
        self._check_end(is_done=unfinished.startswith(_DONE))

    def _take(self, kind: bytes, data: bytes) -> None:
        """Takes an event."""
        if kind == b"error":
            self._refuse_error_event(data)
            return
        chunk = self._parse(data) if kind in _COMPLETION_EVENTS else self._other_event(data)
        try:
            if kind in _COMPLETION_EVENTS:
                self._refuse_error(_error_of(chunk))
                self._take_chunk(chunk)
            elif "choices" in chunk:
                self._take_chunk(chunk)
            # An event of the API's own, such as a verdict of a filter: its errors are not those of the answer.
            elif (error := _error_of(chunk)) and self._other_error is None:
                self._other_error = _message_of(error)
        finally:
            _dispose_if_large(data, chunk)

    def _take_chunk(self, chunk: JSONObject) -> None:
        if "usage" in chunk:
            self.usage = usage_of(chunk) or self.usage
        choices = chunk.get("choices") or ()
        if not isinstance(choices, list | tuple):
            raise self._no_completion()
        for choice in choices:
            if not isinstance(choice, dict):
                raise self._no_completion()
            if not choice.get("index"):
                self._take_choice(choice)

    def _take_choice(self, choice: JSONObject) -> None:
        self._has_choice = True
        self._is_finished = self._is_finished or bool(choice.get("finish_reason"))
        # Some chunks have no delta, such as those of Azure that bring the verdict of a filter.
        delta, message = choice.get("delta") or {}, choice.get("message")
        if not isinstance(delta, dict):
            raise self._no_completion()
        self._add(self._text_of(delta.get("content")))
        if isinstance(message, dict) and not self._size:
            # All of the text again, or all of it at last, or the next piece of it: it counts if no delta brings any.
            self._add_to_message(self._text_of(message.get("content")))

    def _add_to_message(self, text: str) -> None:
        if len(text) >= self._message_length and text.startswith("".join(self._message)):
            self._message.clear()
            self._message_length = self._message_size = 0
        self._message.append(text)
        self._message_length += len(text)
        self._message_size += _size_of(text)
        self._check_size(self._message_size)

    def _text_of(self, content: Any) -> str:
        """The text of a content: a text, or parts, of which those that show the model's thinking are left out."""
        if not content:
            return ""
        if isinstance(content, str):
            return content
        parts = [content] if isinstance(content, dict) else content
        if not isinstance(parts, list):
            raise self._no_completion()
        return "".join(map(self._text_of_part, parts))

    def _text_of_part(self, part: Any) -> str:
        if isinstance(part, str):
            return part
        if not isinstance(part, dict):
            raise self._no_completion()
        if part.get("type", "text") not in _TEXT_PARTS:
            return ""
        text = part.get("text")
        if isinstance(text, dict):
            text = text.get("value")
        if text is not None and not isinstance(text, str):
            raise self._no_completion()
        return text or ""

    def _add(self, text: str) -> None:
        if not text:
            return
        self._size += _size_of(text)
        self._check_size(self._size)
        self._parts.append(text)

    def _show(self) -> None:
        """Emits what has been added since the last time: of what came as one, all at once."""
        if self._shown < len(self._parts):
            self._emit("".join(self._parts[self._shown :]))
            self._shown = len(self._parts)
            if self._shown >= _BLOCK:
                self._blocks.append("".join(self._parts))
                self._parts.clear()
                self._shown = 0

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise self._too_long()

    def _parse(self, text: bytes) -> JSONObject:
        try:
            value = json_text.loads(text, max_memory=self._max_memory)
        except json_text.JSONTextError as error:
            raise self._no_completion() from error
        if not isinstance(value, dict):
            raise self._no_completion()
        return value

    def _other_event(self, data: bytes) -> JSONObject:
        try:
            value = json_text.loads(data, max_memory=self._max_memory)
        except json_text.JSONTextError:
            return {}
        return value if isinstance(value, dict) else {}

    def _refuse_error_event(self, data: bytes) -> None:
        try:
            value = json_text.loads(data, max_memory=self._max_memory)
        except json_text.JSONTextError:
            value = data[: _CHARACTER * MAX_ERROR_LENGTH].decode("utf-8", "replace")
        self._refuse_error((isinstance(value, dict) and _error_of(value)) or value or _UNKNOWN_ERROR)

    def _refuse_error(self, error: Any) -> None:
        """Raises an error as OpenAI's library does. None, and others that are false, are none."""
        if error:
            raise NodeError(_message_of(error))

    def _check_end(self, *, is_done: bool) -> None:
        if self._other_error is not None and not self._has_choice:
            raise NodeError(self._other_error)
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


async def _beginning(response: APIResponse) -> bytes:
    """The first piece that has more than blanks, without these and without a byte order mark; empty if there is none."""
    start = b""
    while piece := await response.read():
        start = (start + piece).lstrip(_BLANKS)
        if start and not _BOM.startswith(start):
            start = start.removeprefix(_BOM).lstrip(_BLANKS)
            if start:
                return start
    return start


def _error_of(value: JSONObject) -> Any:
    """What in a JSON object tells of an error, or None."""
    if value.get("object") == "error":  # old versions of vLLM have no "error" around it
        return value
    if error := value.get("error"):
        return error
    if value.get("choices"):
        return None
    # Gateways answer so with status 200: an object with a code and a message, in a member of its own (MiniMax), or in a list.
    errors = value.get("errors")
    candidates = (value, value.get("base_resp"), *(errors if isinstance(errors, list) else ()))
    return next((candidate for candidate in candidates if _is_coded_error(candidate)), None)


def _is_coded_error(value: Any) -> bool:
    """Whether a value is an object with a code that stands for an error, and a message."""
    return (
        isinstance(value, dict)
        and any(value.get(name) not in _FINE for name in _CODES)
        and any(isinstance(value.get(name), str) for name in _MESSAGES)
    )


def _message_of(error: Any) -> str:
    """The text of an error, with its code where it stands alone beside it; at most `MAX_ERROR_LENGTH` characters."""
    if isinstance(error, dict):
        text = next(
            (error[name] for name in _MESSAGES if isinstance(error.get(name), str) and error[name]), None
        )
        code = next((error[name] for name in _CODES if error.get(name) not in _FINE), None)
        if text is not None and "message" not in error and isinstance(code, int | str):
            text = f"{code} {text}"
    else:
        text = error
    return (text if text and isinstance(text, str) else _UNKNOWN_ERROR)[:MAX_ERROR_LENGTH]


def _size_of(text: str) -> int:
    """Its bytes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _dispose_if_large(data: bytes, value: JSONObject) -> None:
    """Frees what a text was read to, a part at a time; in a thread, that holds up no other."""
    if len(data) > _LARGE:
        values = [*value.values()]
        value.clear()
        dispose(values)


async def _drain(response: APIResponse) -> None:
    with suppress(TimeoutError, TransportError):
        async with asyncio.timeout(_DRAINED_FOR):
            while await response.read():
                pass
