"""JSON text from and to Python values: strict on the way out, exact on the way in."""

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .errors import InvalidValueError

JSONObject = dict[str, Any]
"""A JSON object: values are None, bool, int, float, str, list and dict."""


def dumps(value: Mapping[str, Any] | str, name: str) -> str:
    """The JSON text of an object; a text is taken as it is, for the server to judge.

    Raises:
        InvalidValueError: something in it is not JSON; the text names the path, beginning with `name`.
    """
    if isinstance(value, str):
        _require_unicode(value, name)
        return value
    if not isinstance(value, Mapping):
        raise InvalidValueError(
            f"{name}: expected an object (a dict) or JSON text, not {type(value).__name__}"
        )
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_object)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(_explain(value, name) or f"{name}: {error}") from None
    except RecursionError:
        raise InvalidValueError(f"{name}: nested too deeply") from None
    if not text.isascii() and not _is_unicode(text):
        # a lone surrogate is legal JSON, but only as an escape
        text = json.dumps(value, allow_nan=False, separators=(",", ":"), default=_object)
    return text


def loads(text: str) -> JSONObject | None:
    """The object of a JSON text; None for no text. Integers are exact, however long."""
    if not text:
        return None
    value: JSONObject
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python's own limit on digits, which guards against input that is not trusted
        value = json.loads(text, parse_int=lambda digits: int(Decimal(digits)))
    return value


def _object(value: object) -> dict[str, Any]:
    """What the json module cannot write by itself: mappings that are no dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a JSON value")


def _explain(root: object, name: str) -> str | None:
    """The first value, in order, that JSON cannot hold, with its path."""
    stack: list[tuple[object, str, frozenset[int]]] = [(root, name, frozenset())]
    while stack:
        value, path, above = stack.pop()
        if id(value) in above:
            return f"{path}: contains itself"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{path}: {value} is not a JSON number"
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    return f"{path}: the key {key!r} is not a string"
            inside = above | {id(value)}
            stack += [(item, f"{path}.{key}", inside) for key, item in reversed(list(value.items()))]
        elif isinstance(value, list | tuple):
            inside = above | {id(value)}
            stack += [(item, f"{path}[{i}]", inside) for i, item in reversed(list(enumerate(value)))]
        elif value is not None and not isinstance(value, str | int | float):
            return f"{path}: {type(value).__name__} is not a JSON value"
    return None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_unicode(text: str, name: str) -> None:
    if not text.isascii() and not _is_unicode(text):
        raise InvalidValueError(f"{name}: the text holds a lone surrogate, which is not valid Unicode")
