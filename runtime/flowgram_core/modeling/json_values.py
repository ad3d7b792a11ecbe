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

_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"000000000")
_SLICE: Final = 512 * 1024
"""Bytes that are searched at once: about a millisecond."""


def contains_digits(data: bytes, digits: bytes) -> bool:
    """Whether such characters are in a text, where 0 stands for any digit. Large texts are looked at in pieces."""
    if len(data) <= _SLICE:
        return digits in data.translate(_DIGITS_TO_ZERO)
    overlap = len(digits) - 1
    return any(
        digits in data[start : start + _SLICE + overlap].translate(_DIGITS_TO_ZERO)
        for start in range(0, len(data), _SLICE)
    )
