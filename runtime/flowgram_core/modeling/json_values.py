"""JSON values: their types, how deep they may nest, and a search for digits in their text."""

from typing import Any, Final

JSONObject = dict[str, Any]
"""A JSON object: its members by name, in the order of the text."""

JSONValue = None | bool | int | float | str | list[Any] | JSONObject
"""Any JSON value."""

MAX_DEPTH: Final = 200
"""Arrays and objects may be nested so deeply. Schemas stay far below it, recursion over values far above."""

MAX_MEMBERS: Final = 300_000
"""An object from outside has no more members. From time to time one more makes the interpreter move all there are, in one go: 33 ms
for 350,000, 70 ms for 700,000."""

_FEW: Final = 64
_SAFE: Final = 2**53

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_SLICE: Final = 512 * 1024
"""Bytes that are searched at once: about a millisecond."""


def contains_digits(data: bytes, digits: bytes) -> bool:
    """Whether such characters are in a text, where 0 stands for any digit. Large texts are looked at in pieces."""
    # `find`, since `in` tries whether bytes are a number first, which makes an error.
    if len(data) <= _SLICE:
        return len(data) >= len(digits) and data.translate(_DIGITS_TO_ZERO).find(digits) >= 0
    overlap = len(digits) - 1
    return any(
        data[start : start + _SLICE + overlap].translate(_DIGITS_TO_ZERO).find(digits) >= 0
        for start in range(0, len(data), _SLICE)
    )


def is_read_as_it_is(value: Any) -> bool:
    """Whether a value is a small one that is read from its own JSON text exactly as it is, types included; False where this is not sure."""
    pending: list[Any] = [value]
    parts = 1
    while pending:
        part = pending.pop()
        kind = type(part)
        if kind is str:
            if not part.isascii():  # there may be half of a surrogate pair
                return False
        elif kind is int:
            if not -_SAFE < part < _SAFE:
                return False
        elif kind is dict:
            parts += len(part)
            if parts > _FEW:
                return False
            for name, member in part.items():
                if type(name) is not str or not name.isascii():
                    return False
                pending.append(member)
        elif kind is list:
            parts += len(part)
            if parts > _FEW:
                return False
            pending += part
        elif part is not None and kind is not bool:
            return False
    return True
