"""Request bodies: JSON objects of bounded size, read strictly, whose members can also be had as the text they were."""

import json
import re
from typing import Any

from fastapi import Request

from flowgram_core.modeling.json_text import MAX_DEPTH, JSONTextError, loads
from flowgram_server.gateway.errors import BodyTooLarge, ContentTypeUnsupported, RequestInvalid

_JSON_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\n\r]*")
_SCANNER = json.JSONDecoder(parse_int=str, parse_float=str)
"""Finds where values end; numbers stay text, which has no limits."""

_DISCARDED = 4
"""So many times the limit is read of a body that is too large: a client that still sends may not see the answer."""


class Body:
    """A JSON object that was sent.

    Attributes:
        value: It, as Python values.
    """

    def __init__(self, text: str, value: dict[str, Any]) -> None:
        self._text = text
        self.value = value

    def member_text(self, name: str) -> str:
        """The text of a member's value, as it was sent; of members with the same name the last one's. It must exist."""
        found = ""
        position = self._skip(self._skip(0) + 1)
        while self._text[position] != "}":
            key, position = _SCANNER.raw_decode(self._text, position)
            begin = self._skip(self._skip(position) + 1)
            _, end = _SCANNER.raw_decode(self._text, begin)
            if key == name:
                found = self._text[begin:end]
            position = self._skip(end)
            if self._text[position] == ",":
                position = self._skip(position + 1)
        return found

    def _skip(self, position: int) -> int:
        """The position of what follows the blanks."""
        match = _BLANKS.match(self._text, position)
        return match.end() if match else position


async def read_body(request: Request, limit: int) -> Body:
    """The JSON object that a request carries.

    That it must say that it is JSON is also a protection: a page of another origin cannot send that without asking first.

    Raises:
        ContentTypeUnsupported: It is not sent as JSON.
        BodyTooLarge: It has more than `limit` bytes.
        RequestInvalid: It is no JSON object.
    """
    content_type = request.headers.get("content-type", "")
    if not _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()):
        raise ContentTypeUnsupported(content_type)
    data = await _read(request, limit)
    try:
        value = loads(data, max_depth=MAX_DEPTH + 1)
    except JSONTextError as error:
        raise RequestInvalid(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestInvalid("the body must be a JSON object")
    return Body(data.decode(), value)


async def _read(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
        if size > limit * _DISCARDED:
            break
    if size > limit:
        raise BodyTooLarge(limit)
    return b"".join(parts)
