"""Writing of JSON text, as `JSON.stringify` writes it.

orjson writes nearly all values; those that it cannot write as JavaScript does take a slower way, and a thread that must not keep
others waiting writes large ones in pieces.
"""

import math
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from json.encoder import encode_basestring
from typing import Any, Final

import orjson

from flowgram_core.modeling import javascript
from flowgram_core.modeling.json_values import MAX_DEPTH, JSONValue, contains_digits
from flowgram_core.modeling.sizes import size_of


class _Writing(threading.local):
    in_pieces = False
    """Whether this thread must not keep others waiting."""


_writing = _Writing()
_PIECE: Final = 64 * 1024
"""Bytes that are written at once, about, where it is done in pieces."""
_SURROGATES = re.compile(r"[\ud800-\udfff]")


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
    if _writing.in_pieces and isinstance(value, dict | list):
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
    if b".0" in data or contains_digits(data, b"0e"):
        replaced = _with_odd_floats_replaced(value)
        if replaced is not value:
            return orjson.dumps(replaced)
    return data


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
