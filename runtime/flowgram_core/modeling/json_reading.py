"""Reading of JSON text: strict, as `JSON.parse` is, and exact, so that integers of any size stay integers.

orjson reads nearly all texts; those that it cannot read exactly take a slower way, and long ones are read in pieces.
"""

import json
import math
import re
import time
from codecs import getincrementaldecoder
from typing import Final, NoReturn

import orjson

from flowgram_core.modeling.errors import JSONTextError, NumberOutOfRange
from flowgram_core.modeling.json_pieces import loads_in_pieces
from flowgram_core.modeling.json_values import MAX_DEPTH, MAX_MEMBERS, JSONValue, contains_digits

_LARGE: Final = 256 * 1024
_LARGEST: Final = 1024 * 1024
"""Characters, or bytes, of a text that is read in one go, whatever is in it."""
_SLICE: Final = 1024 * 1024
"""Characters that are counted, or decoded, in one go."""
_MOST_MEMORY: Final = 250
"""No character of a text adds more bytes of memory."""
_LONG: Final = 10_000_000
"""Nanoseconds after which a text is read in pieces. Shorter texts than those of so many characters never take so long."""

# Integers of up to 18 digits fit into 64 bits; orjson reads longer ones as floats if they do not. The first look is fast,
# the second one spares fractions the slower way.
_LONG_DIGITS: Final = b"0" * 19
_SHORT: Final = 18
_LONG_NUMBER = re.compile(rb"[0-9.]{19,}+")
_LONGEST_INTEGER: Final = 309
"""Digits of the largest double."""
# A string that does not end reaches to the end of the text: no quote in it begins another one.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_BRACKETS = re.compile(rf"[^\"\[\]{{}}]*+({_STRING}|[\[\]{{}}])", re.DOTALL)
_WORDS = re.compile(rf"{_STRING}|[^\s,:\[\]{{}}\"]+", re.DOTALL)


def loads(
    text: str | bytes,
    *,
    max_depth: int = MAX_DEPTH,
    max_memory: int | None = None,
    max_members: int | None = MAX_MEMBERS,
) -> JSONValue:
    """Reads a JSON text (bytes: UTF-8). Of members with the same name the last one wins.

    What would take long is read in pieces: in a thread it then holds up no other.

    Args:
        text: The text.
        max_depth: Arrays and objects may be nested so deeply.
        max_memory: So many bytes of memory the value may take, about; None: as many as it takes.
        max_members: So many members an object may have; None: any number. Texts that are read in one go never have as many.

    Raises:
        JSONTextError: The text is no JSON (`NaN` and `Infinity` are not), is nested more than `max_depth` levels deep,
            has a number whose size no double can have, takes more than `max_memory`, or has an object of more members.
    """
    if len(text) > _LARGE or (max_memory is not None and len(text) * _MOST_MEMORY > max_memory):
        decoded = _decode(text)
        if len(text) > _LARGEST or _Counts.of(decoded).are_much(max_memory):
            return loads_in_pieces(decoded, _read_piece, max_depth, max_memory, max_members)  # type: ignore[no-any-return]  # it is JSON
    return _loads(text, max_depth)


def memory_bound(text: str) -> int:
    """Bytes of memory that a JSON text takes as a value at most, about; found by counting characters, whatever they mean."""
    return _Counts.of(text).memory


class _Counts:
    """What a look at the characters of a text says about reading it: the time, and the memory of the value, at most."""

    def __init__(self, nanoseconds: int, memory: int) -> None:
        self.nanoseconds = nanoseconds
        self.memory = memory

    @classmethod
    def of(cls, text: str) -> "_Counts":
        length = len(text)
        if length <= _SLICE:
            return _counts(text, 1 if text.isascii() else 4)
        width = 1 if text.isascii() else 4
        parts: list[_Counts] = []
        for start in range(0, length, _SLICE):
            parts.append(_counts(text[start : start + _SLICE], width))
            time.sleep(0)  # compiled code lets no other thread have the interpreter by itself
        return cls(sum(part.nanoseconds for part in parts), sum(part.memory for part in parts))

    def are_much(self, max_memory: int | None) -> bool:
        """Whether the text is to be read in pieces."""
        return self.nanoseconds > _LONG or (max_memory is not None and self.memory > max_memory)


def _counts(text: str, width: int) -> _Counts:
    objects, arrays, texts = text.count("{"), text.count("["), text.count('"') >> 1
    items, members = text.count(",") + objects + arrays, text.count(":")
    length = len(text)
    return _Counts(
        100 * objects + 60 * arrays + 30 * texts + 15 * items + 3 * length,
        140 * objects + 60 * arrays + 60 * texts + 40 * items + 100 * members + width * length,
    )


def _read_piece(text: str, max_depth: int) -> JSONValue:
    return _loads(text, max_depth)


def _loads(text: str | bytes, max_depth: int) -> JSONValue:
    try:
        data = text.encode() if isinstance(text, str) else text
        if len(data) > _SHORT and contains_digits(data, _LONG_DIGITS) and _has_long_integer(data):
            return _read_exactly(text, max_depth)
        value: JSONValue = orjson.loads(data)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return _read_exactly(text, max_depth)
    if data.count(b"[") + data.count(b"{") > max_depth and _is_deeper(value, max_depth):
        _check_depth(_decode(text), max_depth)
    return value


def _has_long_integer(data: bytes) -> bool:
    return any(number[0][: len(_LONG_DIGITS)].isdigit() for number in _LONG_NUMBER.finditer(data))


def _is_deeper(value: JSONValue, max_depth: int) -> bool:
    level: list[object] = [value]
    for _ in range(max_depth):
        level = [
            member
            for container in level
            if container.__class__ is dict or container.__class__ is list
            for member in (container.values() if container.__class__ is dict else container)
            if member.__class__ is dict or member.__class__ is list
        ]
        if not level:
            return False
    return True


class _NotRepresentable(Exception):
    """A number that the decoder cannot represent; the caller knows the text, and so the position."""


def _parse_int(digits: str) -> int:
    # int() would take a time that grows with the square.
    count = len(digits) - digits.startswith("-")
    if count > _LONGEST_INTEGER or (count == _LONGEST_INTEGER and math.isinf(float(digits))):
        raise _NotRepresentable(digits)
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise _NotRepresentable(digits)
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise _NotRepresentable(name)


_DECODER = json.JSONDecoder(parse_int=_parse_int, parse_float=_parse_float, parse_constant=_refuse_constant)


def _read_exactly(text: str | bytes, max_depth: int) -> JSONValue:
    decoded = _decode(text)
    # First, because the decoder recurses.
    _check_depth(decoded, max_depth)
    try:
        value: JSONValue = _DECODER.decode(decoded)
    except json.JSONDecodeError as error:
        raise JSONTextError(error.msg, (error.lineno, error.colno)) from None
    except _NotRepresentable as error:
        word = str(error)
        # The decoder stops at the end of the number, where the text may go on: "1e999null".
        index = next(match.start() for match in _WORDS.finditer(decoded) if match[0].startswith(word))
        position = _position(decoded, index)
        if word[-1].isdigit():
            raise NumberOutOfRange(position) from None
        raise JSONTextError(f"{word} is no JSON value", position) from None
    return value


def _decode(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    decoder = getincrementaldecoder("utf-8")()
    parts: list[str] = []
    try:
        for start in range(0, max(len(text), 1), _SLICE):
            part = decoder.decode(text[start : start + _SLICE], start + _SLICE >= len(text))
            parts.append(part)
    except UnicodeDecodeError as error:
        # What was kept of the slice before is a part of what the error is about.
        valid = "".join(parts) + error.object[: error.start].decode()
        raise JSONTextError("Text is not valid UTF-8", _position(valid, len(valid))) from None
    return "".join(parts)


def _check_depth(text: str, max_depth: int) -> None:
    depth = position = 0
    while (match := _BRACKETS.match(text, position)) is not None:
        position, mark = match.end(), match[1]
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                reason = f"Nested too deeply: more than {max_depth} levels"
                raise JSONTextError(reason, _position(text, match.start(1)))
        elif mark in "]}":
            depth -= 1


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)
