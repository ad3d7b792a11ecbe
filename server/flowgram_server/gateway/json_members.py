"""A scanner that finds the members of a JSON object in its bytes without parsing their values.

A workflow's schema and inputs are passed on as the text they are: building their values here would cost up to thirty times
their size in memory, and hold the event loop as long. So the scan looks only for what ends a value (quotes and brackets), in
windows of bounded size. What is inside of a value is not checked; its parser does that.
"""

import re
from collections.abc import Generator
from typing import Final, NamedTuple

from flowgram_core.modeling.json_text import MAX_DEPTH, JSONTextError, loads

_WINDOW: Final = 16 * 1024
"""Bytes that are looked at between two chances to pause."""
_BRACKETS: Final = 2048
"""Runs of brackets that are looked at between two chances to pause: about a millisecond."""


def _repeated(pattern: bytes) -> bytes:
    """As often as it matches. Before Python 3.11.5 `*+` behind a group would keep the half of a repetition that fails."""
    return rb"(?>(?:%b)*)" % pattern


def _nested(inner: bytes) -> bytes:
    return rb"(?:%b|\[%b\]|\{%b\})" % (inner, _repeated(inner), _repeated(inner))


_BLANKS = re.compile(rb"[ \t\n\r]*+")
_STRING = _repeated(rb'[^"\\]++|\\.')
_STRING_PART = re.compile(_STRING, re.DOTALL)
_SCALAR = re.compile(rb'[^\s,:"\[\]{}]++')
# What changes no depth: scalars, texts, and containers that nest little.
_SHALLOW = re.compile(_repeated(_nested(_nested(rb'[^"\[\]{}]++|"%b"' % _STRING))), re.DOTALL)
_BRACKET = re.compile(rb"(?P<opens>[\[{]++)|[\]}]++")

Pauses = Generator[None, None, int]
"""Yields where the caller may pause, and returns the position behind a value."""


class Member(NamedTuple):
    """The value of a member: from `begin` to before `end`."""

    begin: int
    end: int


def find_members(data: bytes) -> Generator[None, None, dict[str, Member]]:
    """The members of the object that JSON bytes are; of several with one name the last one.

    It yields where the caller may pause, after some milliseconds at most, and returns the members.

    Raises:
        JSONTextError: The bytes are no object, so far as that can be seen without parsing its values.
    """
    members: dict[str, Member] = {}
    position = _skip_blanks(data, 0)
    position = _skip_blanks(data, _expect(data, position, b"{", "an object"))
    if data[position : position + 1] == b"}":
        _check_end(data, position + 1)
        return members
    while True:
        if data[position : position + 1] != b'"':
            raise _error(data, "expected a name in double quotes", position)
        end = yield from _skip_string(data, position)
        name = loads(data[position:end])
        position = _skip_blanks(data, _expect(data, _skip_blanks(data, end), b":", "':'"))
        end = yield from _skip_value(data, position)
        members[str(name)] = Member(position, end)
        position = _skip_blanks(data, end)
        if data[position : position + 1] == b"}":
            _check_end(data, position + 1)
            return members
        position = _skip_blanks(data, _expect(data, position, b",", "',' or '}'"))


def _skip_value(data: bytes, begin: int) -> Pauses:
    first = data[begin : begin + 1]
    if first == b'"':
        return (yield from _skip_string(data, begin))
    if first in (b"[", b"{"):
        return (yield from _skip_container(data, begin))
    scalar = _SCALAR.match(data, begin)
    if scalar is None:
        raise _error(data, "expected a value", begin)
    return scalar.end()


def _skip_string(data: bytes, begin: int) -> Pauses:
    position = begin + 1
    while True:
        part = _STRING_PART.match(data, position, position + _WINDOW)
        end = position if part is None else part.end()
        if data[end : end + 1] == b'"':
            return end + 1
        if end == position:  # the text ends, or a backslash is the last byte of the window
            if len(data) - position < 2:
                raise _error(data, "a text is not ended", begin)
            end += 2
        position = end
        yield


def _skip_container(data: bytes, begin: int) -> Pauses:
    position, depth, left = begin + 1, 1, _BRACKETS
    window_end = position + _WINDOW
    while position < len(data):
        if not left or position >= window_end:
            yield
            left, window_end = _BRACKETS, position + _WINDOW
        left -= 1
        shallow = _SHALLOW.match(data, position, window_end)
        if shallow is not None and shallow.end() > position:
            position = shallow.end()
            continue
        bracket = _BRACKET.match(data, position)
        if bracket is None:  # a text that goes on behind the window
            position = yield from _skip_string(data, position)
            continue
        count = bracket.end() - position
        if bracket["opens"] is None:
            if count >= depth:
                return position + depth
            depth -= count
        else:
            if depth + count > MAX_DEPTH + 1:
                raise _error(data, "values are nested too deeply", position + MAX_DEPTH + 1 - depth)
            depth += count
        position += count
    raise _error(data, "a value is not ended", begin)


def _skip_blanks(data: bytes, position: int) -> int:
    match = _BLANKS.match(data, position)
    return match.end() if match else position


def _expect(data: bytes, position: int, byte: bytes, name: str) -> int:
    if data[position : position + 1] != byte:
        raise _error(data, f"expected {name}", position)
    return position + 1


def _check_end(data: bytes, position: int) -> None:
    position = _skip_blanks(data, position)
    if position != len(data):
        raise _error(data, "unexpected bytes behind the value", position)


def _error(data: bytes, text: str, position: int) -> JSONTextError:
    before = data[:position]
    line = before.count(b"\n") + 1
    column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
    return JSONTextError(text, (line, column))
