"""Request bodies: JSON objects of bounded size, whose large members are passed on as the text they are."""

import asyncio
import re
from codecs import getincrementaldecoder
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import Request

from flowgram_core.modeling.errors import JSONTextError, NumberOutOfRange
from flowgram_core.modeling.json_text import MAX_DEPTH, loads
from flowgram_server.byte_budget import BudgetExceeded, Share
from flowgram_server.gateway.errors import (
    BodyTimedOut,
    BodyTooLarge,
    ContentTypeUnsupported,
    GatewayOverloaded,
    RequestInvalid,
)
from flowgram_server.gateway.json_members import Member, find_members

_JSON_TYPE = re.compile(r"application/(?:[\w.-]+\+)?json", re.IGNORECASE)
_BOM: Final = b"\xef\xbb\xbf"

_SMALL: Final = 64 * 1024
"""Bodies up to so many bytes are parsed as a whole: that takes a millisecond, and every error is reported with its position."""

_MAX_OTHER_MEMBER: Final = 1024 * 1024
"""Bytes of a member that is parsed here: of all but the workflow's inputs and a text."""

_SLICE: Final = 256 * 1024
"""Bytes that are decoded in one go."""

_NOT_UTF_8: Final = "the body is no JSON: it is not UTF-8"

_DISCARDED = 4
"""So many times the limit is read of a body that is too large: a client that still sends may not see the answer."""


class Body:
    """A JSON object that was sent.

    Attributes:
        value: It, as Python values; in the place of a large object or array stands an empty one.
    """

    def __init__(self, data: bytes, value: dict[str, Any], members: dict[str, Member]) -> None:
        self.value = value
        self._data = data
        self._members = members

    def member_text(self, name: str) -> str:
        """The text of a member's value, as it was sent; of members with the same name the last one's. It must exist.

        Raises:
            RequestInvalid: It is not UTF-8.
        """
        member = self._members[name]
        decoder = getincrementaldecoder("utf-8")()
        try:
            return "".join(
                decoder.decode(
                    self._data[start : min(start + _SLICE, member.end)], start + _SLICE >= member.end
                )
                for start in range(member.begin, member.end, _SLICE)
            )
        except UnicodeDecodeError:
            raise RequestInvalid(_NOT_UTF_8) from None

    @property
    def size(self) -> int:
        """How many bytes it has as text."""
        return len(self._data)


async def _at_once() -> None:
    """No waiting: those that are ready have run already."""


async def parse_body(data: bytes, time_slice: Callable[[], Awaitable[None]] = _at_once) -> Body:
    """The JSON object that the bytes of a body are. Other work on the event loop goes on meanwhile.

    Args:
        data: The bytes.
        time_slice: Waits for the next slice of the event loop's time, about a millisecond of it; see `FairScheduler`.

    Raises:
        RequestInvalid: It is no JSON object. Of the inside of a large member only its ends are looked at.
    """
    data = data.removeprefix(_BOM)  # editors on Windows write one, and it is no part of the JSON
    try:
        if len(data) <= _SMALL:
            value = loads(data, max_depth=MAX_DEPTH + 1)
            if not isinstance(value, dict):
                raise RequestInvalid("the body must be a JSON object")
            return Body(data, value, await _members(data, time_slice))
        members = await _members(data, time_slice)
        return Body(data, await asyncio.to_thread(_values, data, members), members)
    except NumberOutOfRange as error:  # it is JSON
        raise RequestInvalid(f"the body cannot be read: {error}") from None
    except JSONTextError as error:
        raise RequestInvalid(f"the body is no JSON: {error}") from None
    except UnicodeDecodeError:
        raise RequestInvalid(_NOT_UTF_8) from None


async def read_body(
    request: Request, limit: int, *, share: Share, idle_timeout: float, min_rate: float
) -> bytes:
    """The bytes of a body that is sent as JSON.

    That it must say that it is JSON is also a protection: a page of another origin cannot send that without asking first.

    Args:
        request: Carries the body.
        limit: Its greatest length.
        share: What it holds of the memory for all bodies; given back by the caller.
        idle_timeout: Seconds in which some of it must come.
        min_rate: Bytes per second that must come on average, once the first idle time-out has passed.

    Raises:
        ContentTypeUnsupported: It is not sent as JSON.
        BodyTooLarge: It has more than `limit` bytes.
        BodyTimedOut: It does not come, or too slowly.
        GatewayOverloaded: All bodies together are more than may be held.
    """
    content_type = request.headers.get("content-type", "")
    if not _JSON_TYPE.fullmatch(content_type.partition(";")[0].strip()):
        raise ContentTypeUnsupported(content_type)
    loop = asyncio.get_running_loop()
    parts: list[bytes] = []
    size = 0
    begin = loop.time()
    stream = request.stream()
    try:
        while True:
            deadline = begin + idle_timeout + size / min_rate
            async with asyncio.timeout(min(idle_timeout, max(0.0, deadline - loop.time()))):
                part = await anext(stream, None)
            if part is None:
                break
            size += len(part)
            if size <= limit:
                share.take(len(part))
                parts.append(part)
            else:
                parts.clear()
                share.give_back()
            if size > limit * _DISCARDED:
                break
    except TimeoutError:
        raise BodyTimedOut from None
    except BudgetExceeded:
        raise GatewayOverloaded from None
    if size > limit:
        raise BodyTooLarge(limit)
    return b"".join(parts)


async def _members(data: bytes, time_slice: Callable[[], Awaitable[None]]) -> dict[str, Member]:
    finding = find_members(data)
    while True:
        try:
            next(finding)
        except StopIteration as found:
            members: dict[str, Member] = found.value
            return members
        await asyncio.sleep(0)
        await time_slice()


def _values(data: bytes, members: dict[str, Member]) -> dict[str, Any]:
    return {name: _parsed(data, name, member) for name, member in members.items()}


def _parsed(data: bytes, name: str, member: Member) -> Any:
    """The value of a member of a large body; a large object or array is an empty one."""
    first, size = data[member.begin], member.end - member.begin
    if size > _SMALL and first in b"{[":
        if name != "inputs" and size > _MAX_OTHER_MEMBER:
            raise RequestInvalid(f"{name}: has {size} bytes, more than {_MAX_OTHER_MEMBER}")
        if name == "inputs":
            return {} if first == ord("{") else []
    return loads(data[member.begin : member.end], max_depth=MAX_DEPTH + 1)
