"""Encoding of a JSON value in one go, by orjson where that writes it as JavaScript does; `json_writing` is built on it."""

from collections.abc import Iterable
from typing import Any

import orjson

from flowgram_core.modeling import javascript
from flowgram_core.modeling.json_exact_writing import is_odd, write_exactly
from flowgram_core.modeling.json_values import JSONValue, contains_digits


def encode_at_once(value: JSONValue) -> bytes:
    """As `json_writing.encode`."""
    try:
        data = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return write_exactly(value).encode()
    if type(value) is str:
        return data
    # JavaScript prints 3.0 as `3`; floats that it prints differently show themselves by these characters, which may also
    # stand in texts.
    # `in` makes an error before it looks for bytes.
    if data.find(b".0") >= 0 or (data.find(b"e") >= 0 and contains_digits(data, b"0e")):
        replaced = _with_odd_floats_replaced(value)
        if replaced is not value:
            return orjson.dumps(replaced)
    return data


def _with_odd_floats_replaced(value: Any) -> Any:
    """The value with what JavaScript prints in place of each float that orjson writes differently; itself if none is.

    It recurses, but no deeper than orjson, which has written the value.
    """
    if isinstance(value, float):
        return _as_javascript(value) if is_odd(value) else value
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


def _as_javascript(number: float) -> int | orjson.Fragment:
    if abs(number) < 2**53 and number.is_integer():
        return int(number)
    return orjson.Fragment(javascript.number_to_string(number))
