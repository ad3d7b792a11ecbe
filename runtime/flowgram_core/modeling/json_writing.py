"""Writing of JSON text, as `JSON.stringify` writes it.

orjson writes nearly all values; those that it cannot write as JavaScript does take a slower way, and a thread that must not keep
others waiting writes large ones in pieces.
"""

from flowgram_core.modeling.json_encoding import encode_at_once
from flowgram_core.modeling.json_piecewise_writing import write_in_pieces, writing
from flowgram_core.modeling.json_values import MAX_DEPTH, JSONValue


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
    if writing.in_pieces and isinstance(value, dict | list):
        return b"".join(write_in_pieces(value, MAX_DEPTH))
    return encode_at_once(value)
