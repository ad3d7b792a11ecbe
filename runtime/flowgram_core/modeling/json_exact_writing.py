"""Exact writing of JSON, in Python: for values that orjson cannot write, or writes in another way than JavaScript."""

import math
import re
from json.encoder import encode_basestring
from typing import Any, Final

import orjson

from flowgram_core.modeling import javascript
from flowgram_core.modeling.json_values import JSONValue

_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


def to_well_formed(text: str) -> str:
    """A text that UTF-8 can hold: lone surrogates, which JSON escapes may bring in, become U+FFFD."""
    return text if text.isascii() else _SURROGATES.sub("\ufffd", text)


def is_odd(number: float) -> bool:
    """Whether JavaScript prints a number in another way than orjson."""
    size = abs(number)
    if size < 1e-4:
        return True
    if not number.is_integer() or size >= 1e21:
        return False
    # JavaScript's digits of a large number may be those of another integer when they are read exactly; then an
    # exponent must show that it is a float.
    return size < 2**53 or int(javascript.number_to_string(number)) == number


class _Raw(str):
    """Text that is written as it is."""

    __slots__ = ()


_OPEN, _CLOSE, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA = map(_Raw, "{}[]:,")


def write_exactly(value: JSONValue) -> str:
    """What `json_writing.encode` writes, as text. Raises `TypeError` for what is no JSON value, or contains itself."""
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
        elif isinstance(item, float) and not is_odd(item):
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
