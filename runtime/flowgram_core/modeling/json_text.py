"""Reading and writing of JSON text; the only place where either is done.

Reading is strict, as `JSON.parse` is, and exact: integers of any size stay integers. Writing follows `JSON.stringify`.
orjson does nearly all the work; texts that it cannot read exactly, and values that it cannot write exactly, take a
slower way.
"""

import json
import math
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from json.encoder import encode_basestring
from typing import Any, NamedTuple, NoReturn

import orjson

from flowgram_core.modeling import javascript
from flowgram_core.modeling.errors import JSONTextError, NumberOutOfRange
from flowgram_core.modeling.json_pieces import loads_in_pieces
from flowgram_core.modeling.sizes import size_of

__all__ = [
    "MAX_DEPTH",
    "JSONObject",
    "JSONTextError",
    "JSONValue",
    "dumps",
    "encode",
    "loads",
    "memory_bound",
    "to_well_formed",
    "writing_in_pieces",
]

JSONObject = dict[str, Any]
"""A JSON object: its members by name, in the order of the text."""

JSONValue = None | bool | int | float | str | list[Any] | JSONObject
"""Any JSON value."""

MAX_DEPTH = 200
"""Arrays and objects may be nested so deeply. Schemas stay far below it, recursion over values far above."""

_LARGE = 256 * 1024
_MOST_MEMORY = 250
"""No character of a text adds more bytes of memory."""
_LONG = 20_000_000
"""Nanoseconds after which a text is read in pieces. Shorter texts than those of so many characters never take so long."""

_writing = threading.local()
_PIECE = 64 * 1024
"""Bytes that are written at once, about, where it is done in pieces."""
_SLICE = 512 * 1024
"""Bytes that are searched at once: about a millisecond."""

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
# Integers of up to 18 digits fit into 64 bits; orjson reads longer ones as floats if they do not. The first look is fast,
# the second one spares fractions the slower way.
_LONG_DIGITS = b"0" * 19
_LONG_INTEGER = re.compile(rb"(?<![0-9.])[0-9]{19}")
# A string that does not end reaches to the end of the text: no quote in it begins another one.
_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*"?'
_BRACKETS = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_WORDS = re.compile(rf"{_STRING}|[^\s,:\[\]{{}}\"]+", re.DOTALL)
_SURROGATES = re.compile("[\ud800-\udfff]")


def loads(text: str | bytes, *, max_depth: int = MAX_DEPTH, max_memory: int | None = None) -> JSONValue:
    """Reads a JSON text (bytes: UTF-8). Of members with the same name the last one wins.

    What would take long is read in pieces: in a thread it then holds up no other.

    Args:
        text: The text.
        max_depth: Arrays and objects may be nested so deeply.
        max_memory: So many bytes of memory the value may take, about; None: as many as it takes.

    Raises:
        JSONTextError: The text is no JSON (`NaN` and `Infinity` are not), is nested more than `max_depth` levels deep,
            has a number whose size no double can have, or takes more than `max_memory`.
    """
    if len(text) > _LARGE or (max_memory is not None and len(text) * _MOST_MEMORY > max_memory):
        decoded = _decode(text)
        counts = _Counts.of(decoded)
        if counts.nanoseconds > _LONG or (max_memory is not None and counts.memory > max_memory):
            return loads_in_pieces(decoded, _read_piece, max_depth, max_memory)  # type: ignore[no-any-return]  # it is JSON
    return _loads(text, max_depth)


def memory_bound(text: str) -> int:
    """Bytes of memory that a JSON text takes as a value at most, about; found by counting characters, whatever they mean."""
    objects, arrays, texts = text.count("{"), text.count("["), text.count('"') >> 1
    return _memory_of(text, objects, arrays, texts, text.count(",") + objects + arrays, text.count(":"))


def _memory_of(text: str, objects: int, arrays: int, texts: int, items: int, members: int) -> int:
    return (
        140 * objects
        + 60 * arrays
        + 60 * texts
        + 40 * items
        + 100 * members
        + len(text) * (1 if text.isascii() else 4)
    )


class _Counts(NamedTuple):
    """What a look at the characters of a text says about reading it: the time, and the memory of the value, at most."""

    nanoseconds: int
    memory: int

    @classmethod
    def of(cls, text: str) -> "_Counts":
        objects, arrays, texts = text.count("{"), text.count("["), text.count('"') >> 1
        items, members = text.count(",") + objects + arrays, text.count(":")
        length = len(text)
        return cls(
            100 * objects + 60 * arrays + 30 * texts + 15 * items + (length >> 1),
            _memory_of(text, objects, arrays, texts, items, members),
        )


def _read_piece(text: str, max_depth: int) -> JSONValue:
    return _loads(text, max_depth)


def _loads(text: str | bytes, max_depth: int) -> JSONValue:
    try:
        data = text.encode() if isinstance(text, str) else text
        if _contains(data, _LONG_DIGITS) and _LONG_INTEGER.search(data):
            return _read_exactly(text, max_depth)
        value: JSONValue = orjson.loads(data)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return _read_exactly(text, max_depth)
    if data.count(b"[") + data.count(b"{") > max_depth and _is_deeper(value, max_depth):
        _check_depth(_decode(text), max_depth)
    return value


def dumps(value: JSONValue) -> str:
    """Writes a JSON value as text, as `encode` does."""
    return encode(value).decode()


def encode(value: JSONValue) -> bytes:
    """Writes a JSON value as compact text that is valid Unicode, in UTF-8.

    The order of members is kept; integers are written in full, and other numbers as JavaScript prints them unless that
    would be read as another number; NaN and infinities become null; lone surrogates are escaped.

    Raises:
        TypeError: The value is no JSON value, or contains itself.
    """
    if getattr(_writing, "in_pieces", False) and isinstance(value, dict | list):
        return b"".join(_write_in_pieces(value, MAX_DEPTH))
    return _encode(value)


def _write_in_pieces(value: Any, depth: int) -> Iterator[bytes]:
    """What `encode` writes, each piece in a short time: runs of small parts are written at once, large parts one by one."""
    if depth == 0 or size_of(value, _PIECE) <= _PIECE:
        yield _encode(value)
        return
    is_object = isinstance(value, dict)
    yield b"{" if is_object else b"["
    run: Any = {} if is_object else []
    size, comma = 0, b""
    for name, part in value.items() if is_object else enumerate(value):
        part_size = size_of(part, _PIECE) if isinstance(part, dict | list | str) else 0
        if run and size + part_size > _PIECE:
            yield comma + _encode(run)[1:-1]
            run, size, comma = {} if is_object else [], 0, b","
        if part_size > _PIECE:
            yield comma + (_encode(name) + b":" if is_object else b"")
            yield from _write_text(part) if isinstance(part, str) else _write_in_pieces(part, depth - 1)
            comma = b","
            continue
        if is_object:
            run[name] = part
        else:
            run.append(part)
        size += part_size + 8
    if run:
        yield comma + _encode(run)[1:-1]
    yield b"}" if is_object else b"]"


def _write_text(text: str) -> Iterator[bytes]:
    yield b'"'
    for start in range(0, len(text), _PIECE):
        yield _encode(text[start : start + _PIECE])[1:-1]
    yield b'"'


def _encode(value: JSONValue) -> bytes:
    try:
        data = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return _write_exactly(value).encode()
    if type(value) is str:
        return data
    # JavaScript prints 3.0 as `3`; floats that it prints differently show themselves by these characters, which may also
    # stand in texts.
    if b".0" in data or _contains(data, b"0e"):
        replaced = _with_odd_floats_replaced(value)
        if replaced is not value:
            return orjson.dumps(replaced)
    return data


def _contains(data: bytes, digits: bytes) -> bool:
    """Whether such characters are in a text, where 0 stands for any digit. Large texts are looked at in pieces."""
    if len(data) <= _SLICE:
        return digits in data.translate(_DIGITS_TO_ZERO)
    overlap = len(digits) - 1
    return any(
        digits in data[start : start + _SLICE + overlap].translate(_DIGITS_TO_ZERO)
        for start in range(0, len(data), _SLICE)
    )


@contextmanager
def writing_in_pieces() -> Iterator[None]:
    """Lets this thread write values in such a way that no other thread waits for long, while the block lasts."""
    _writing.in_pieces = True
    try:
        yield
    finally:
        _writing.in_pieces = False


def to_well_formed(text: str) -> str:
    """A text that UTF-8 can hold: lone surrogates, which JSON escapes may bring in, become U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def _is_deeper(value: JSONValue, max_depth: int) -> bool:
    level: list[Any] = [value]
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
    # A double has at most 309 digits before the point; int() would take a time that grows with the square.
    if len(digits) > 308 and math.isinf(float(digits)):
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
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        valid = text[: error.start].decode()
        raise JSONTextError("Text is not valid UTF-8", _position(valid, len(valid))) from None


def _check_depth(text: str, max_depth: int) -> None:
    depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > max_depth:
                reason = f"Nested too deeply: more than {max_depth} levels"
                raise JSONTextError(reason, _position(text, match.start()))
        elif mark in "]}":
            depth -= 1


def _position(text: str, index: int) -> tuple[int, int]:
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _with_odd_floats_replaced(value: Any) -> Any:
    """The value with what JavaScript prints in place of each float that orjson writes differently; itself if none is.

    It recurses, but no deeper than orjson, which has written the value.
    """
    if isinstance(value, float):
        return _as_javascript(value) if _is_odd(value) else value
    if isinstance(value, dict):
        members: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list):
        members = enumerate(value)
    else:
        return value
    copy = None
    for key, member in members:
        kind = member.__class__
        if kind is str or kind is int:
            continue
        # Most floats are neither whole nor tiny: this spares them two calls.
        if kind is float and member % 1.0 and (member > 1e-4 or member < -1e-4):
            continue
        replaced = _with_odd_floats_replaced(member)
        if replaced is not member:
            if copy is None:
                copy = value.copy()
            copy[key] = replaced
    return value if copy is None else copy


def _is_odd(number: float) -> bool:
    """Whether JavaScript prints a number in another way than orjson."""
    size = abs(number)
    if size < 1e-4:
        return True
    if not number.is_integer() or size >= 1e21:
        return False
    # JavaScript's digits of a large number may be those of another integer when they are read exactly; then an
    # exponent must show that it is a float.
    return size < 2**53 or int(javascript.number_to_string(number)) == number


def _as_javascript(number: float) -> int | orjson.Fragment:
    if abs(number) < 2**53 and number.is_integer():
        return int(number)
    return orjson.Fragment(javascript.number_to_string(number))


class _Raw(str):
    """Text that is written as it is."""

    __slots__ = ()


_OPEN, _CLOSE, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA = map(_Raw, "{}[]:,")


def _write_exactly(value: JSONValue) -> str:
    # A stack instead of recursion, so that the nesting of a value has no limit here.
    parts: list[str] = []
    pending: list[Any] = [value]
    opened: list[int] = []
    around: set[int] = set()
    while pending:
        item = pending.pop()
        if isinstance(item, dict | list):
            if id(item) in around:
                raise TypeError("a JSON value contains itself")
            opened.append(id(item))
            around.add(id(item))
        if isinstance(item, _Raw):
            parts.append(item)
            if item is _CLOSE or item is _CLOSE_ARRAY:
                around.discard(opened.pop())
        elif isinstance(item, str):
            parts.append(_quote(item))
        elif isinstance(item, dict):
            parts.append(_OPEN)
            pending.append(_CLOSE)
            for index, (key, member) in reversed(list(enumerate(item.items()))):
                if not isinstance(key, str):
                    raise TypeError(f"a member of a JSON object has a name of type {type(key).__name__}")
                pending += (member, _COLON, key, _COMMA) if index else (member, _COLON, key)
        elif isinstance(item, list):
            parts.append(_OPEN_ARRAY)
            pending.append(_CLOSE_ARRAY)
            for index, member in reversed(list(enumerate(item))):
                pending += (member, _COMMA) if index else (member,)
        elif item is None or (isinstance(item, float) and not math.isfinite(item)):
            parts.append("null")
        elif isinstance(item, float) and not _is_odd(item):
            parts.append(orjson.dumps(float(item)).decode())
        elif isinstance(item, bool | int | float):
            parts.append(javascript.to_string(item))
        else:
            raise TypeError(f"{type(item).__name__} is no JSON value")
    return "".join(parts)


def _quote(text: str) -> str:
    quoted = encode_basestring(text)
    if text.isascii():
        return quoted
    return _SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
