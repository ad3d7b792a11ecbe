"""The rules of JavaScript that show through in FlowGram: texts of values, comparisons, property paths.

FlowGram's own runtime is JavaScript, and its users see this in templates and conditions. Integers are kept exactly here,
where JavaScript rounds those beyond 2**53; everything else follows ECMA-262.
"""

import math
from collections.abc import Sequence
from typing import Any

from flowgram_core.modeling.meter import PART, SCALAR, Meter
from flowgram_core.modeling.values import UNDEFINED

_FEW = 64
"""So many elements of an array are looked at at once."""
_SHORT = 1024
_SLICE = 16_384
"""Elements of an array that are looked at before the work is counted on."""
_WINDOW = 128 * 1024
"""The same for characters of a text."""

WHITESPACE = (
    "\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What `String.prototype.trim` removes."""


def number_to_string(number: float) -> str:
    """A number as `String(number)` prints it; an int of any size in full.

    Source: ECMA-262, Number::toString. Python's repr finds the same shortest digits; only their layout differs.
    """
    if isinstance(number, int):
        return str(number)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if number == 0:
        return "0"
    if number.is_integer() and abs(number) < 1e21:
        # Beyond 2**53 the digits after the shortest ones are zeros in JavaScript, and noise in int().
        mantissa, _, exponent = repr(number).partition("e")
        if not exponent:
            return mantissa.removesuffix(".0")
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    if fraction == "0":
        fraction = ""
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if -6 < point <= 21:
        if point <= 0:
            return f"{sign}0.{'0' * -point}{digits}"
        if len(digits) <= point:
            return f"{sign}{digits.ljust(point, '0')}"
        return f"{sign}{digits[:point]}.{digits[point:]}"
    shown = digits if len(digits) == 1 else f"{digits[0]}.{digits[1:]}"
    return f"{sign}{shown}e{point - 1:+d}"


def to_string(value: Any) -> str:
    """A value as `String(value)` prints it: `1`, `true`, `null`, `undefined`, `1,2`, `[object Object]`."""
    if isinstance(value, str):
        return value
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_to_string(value)
    if isinstance(value, list):
        return ",".join("" if item is None else to_string(item) for item in value)
    if isinstance(value, dict):
        return "[object Object]"
    return "undefined"


def typeof(value: Any) -> str:
    """What the `typeof` operator answers for a JSON value."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "undefined" if value is UNDEFINED else "object"


def truthy(value: Any) -> bool:
    """Whether a value counts as true: everything but null, undefined, false, 0, NaN and the empty text."""
    return isinstance(value, dict | list) or bool(value and value == value)  # noqa: PLR0124 - NaN differs from itself


def to_number(value: Any) -> float:
    """A value as `Number(value)` reads it; NaN where it is no number."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if value is None:
        return 0
    if isinstance(value, str):
        return _text_to_number(value)
    if isinstance(value, list):
        return _text_to_number(to_string(value))
    return math.nan


def _text_to_number(text: str) -> float:
    text = text.strip(WHITESPACE)
    if not text:
        return 0
    if text[:2].lower() in {"0x", "0o", "0b"}:
        try:
            return int(text, 0) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            return math.nan
    if text.lstrip("+-") == "Infinity" and text.count("+") + text.count("-") <= 1:
        return -math.inf if text[0] == "-" else math.inf
    # float() also takes "nan", "inf" and "1_0", which JavaScript does not.
    if not text.isascii() or text.strip("0123456789+-.eE"):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return math.nan


def strict_equals(left: Any, right: Any) -> bool:
    """`left === right` for JSON values. Two objects or arrays are equal only if they are the same one."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, int | float):
        return isinstance(right, int | float) and left == right
    if isinstance(left, str):
        return isinstance(right, str) and left == right
    return left is right


def identity(value: Any) -> Any:
    """A key for dicts and sets: equal for values that are strictly equal, and for no others.

    Numbers are keys as texts: the hash of a number is known, so that anybody could send thousands with the same one.
    """
    if isinstance(value, bool | list | dict):
        return "identity", id(value)
    if isinstance(value, float):
        return "number", str(int(value)) if value.is_integer() else repr(value)
    return ("number", str(value)) if isinstance(value, int) else value


def includes(array: list[Any], item: Any, meter: Meter) -> bool:
    """`array.includes(item)`: an element strictly equal to the item (JSON has no NaN, so that rule does not matter)."""
    if len(array) <= _FEW:
        meter.spend(PART + compared_bytes(item))
        return any(strict_equals(element, item) for element in array)
    if isinstance(item, str) and len(item) > _SHORT:
        return _includes_long_text(array, item, meter)
    if isinstance(item, int | float | str) and not isinstance(item, bool):
        return _includes_scalar(array, item, meter)
    for start in range(0, len(array), _SLICE):
        part = array[start : start + _SLICE]
        meter.spend(PART * len(part))
        if any(element is item for element in part):
            return True
    return False


def _includes_scalar(array: list[Any], item: float | str, meter: Meter) -> bool:
    """For items that Python compares as JavaScript does, but for booleans, which equal 0 and 1 in Python."""
    for first in range(0, len(array), _SLICE):
        start, stop = first, min(first + _SLICE, len(array))
        meter.spend(SCALAR * (stop - start))
        while start < stop:
            try:
                start = array.index(item, start, stop) + 1
            except ValueError:
                break
            if not isinstance(array[start - 1], bool):
                return True
            meter.spend(PART)
    return False


def _includes_long_text(array: list[Any], item: str, meter: Meter) -> bool:
    length = len(item)
    for start in range(0, len(array), _SLICE):
        part = array[start : start + _SLICE]
        meter.spend(PART * len(part))
        for element in part:
            if isinstance(element, str) and len(element) == length:
                meter.spend(compared_bytes(item))
                if element == item:
                    return True
    return False


def compared_bytes(value: Any) -> int:
    """The work of comparing a value strictly with another one: that of a text's bytes, or nothing."""
    return len(value) >> 3 if isinstance(value, str) else 0


def contains(text: str, part: str, meter: Meter) -> bool:
    """`text.includes(part)`, a window of the text at a time."""
    length = len(part)
    for start in range(0, max(len(text) - length, 0) + 1, _WINDOW):
        end = start + _WINDOW + length
        meter.spend(2 * (min(end, len(text)) - start) + length)
        if text.find(part, start, end) >= 0:
            return True
    return False


def less_than(left: Any, right: Any) -> bool | None:
    """`left < right`: texts by UTF-16 code units, all else as numbers; None where one of them is not a number.

    Source: ECMA-262, IsLessThan. Callers derive `>`, `<=` and `>=` by swapping and negating; None makes each false.
    """
    left, right = _to_primitive(left), _to_primitive(right)
    if isinstance(left, str) and isinstance(right, str):
        return _utf16(left) < _utf16(right)
    left, right = to_number(left), to_number(right)
    if left != left or right != right:  # noqa: PLR0124 - NaN is the one value that differs from itself
        return None
    return bool(left < right)


def _to_primitive(value: Any) -> Any:
    return to_string(value) if isinstance(value, list | dict) else value


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def utf16_length(text: str, meter: Meter) -> int:
    """`text.length`: in UTF-16 code units, so an emoji counts two."""
    if text.isascii():
        return len(text)
    length = 0
    for start in range(0, len(text), _WINDOW):
        window = text[start : start + _WINDOW]
        meter.spend(4 * len(window))
        length += len(window.encode("utf-16-le", "surrogatepass")) // 2
    return length


def _utf16_unit(text: str, index: int, meter: Meter) -> str | None:
    """The code unit at an index, or None beyond the end."""
    if text.isascii():
        return text[index] if index < len(text) else None
    for start in range(0, len(text), _WINDOW):
        window = text[start : start + _WINDOW]
        meter.spend(4 * len(window))
        encoded = _utf16(window)
        if 2 * index < len(encoded):
            return encoded[2 * index : 2 * index + 2].decode("utf-16-be", "surrogatepass")
        index -= len(encoded) // 2
    return None


def array_index(key: object) -> int | None:
    """The index that a property key means, if it is one in its canonical form (`"0"`, not `"00"` or `"-1"`)."""
    if isinstance(key, bool):
        return None
    if isinstance(key, int):
        return key if key >= 0 else None
    if isinstance(key, float):
        return int(key) if key >= 0 and key.is_integer() else None
    if isinstance(key, str) and key.isascii() and key.isdigit() and (key == "0" or key[0] != "0"):
        return int(key) if len(key) <= 10 else None
    return None


def get_path(value: Any, path: Sequence[Any], meter: Meter) -> Any:
    """The value at a path of property keys, or `UNDEFINED`.

    Objects by key, arrays and strings by index and `length`. Source: lodash `get`; what it would find on JavaScript's
    prototypes (methods) is no JSON value and counts as not found.
    """
    for key in path:
        if isinstance(value, dict):
            value = value.get(key if isinstance(key, str) else to_string(key), UNDEFINED)
        elif isinstance(value, list):
            index = array_index(key)
            if index is not None:
                value = value[index] if index < len(value) else UNDEFINED
            else:
                value = len(value) if key == "length" else UNDEFINED
        elif isinstance(value, str):
            index = array_index(key)
            if index is not None:
                unit = _utf16_unit(value, index, meter)
                value = UNDEFINED if unit is None else unit
            else:
                value = utf16_length(value, meter) if key == "length" else UNDEFINED
        else:
            return UNDEFINED
    return value


def in_property_order(value: Any) -> Any:
    """A value with its objects' keys in JavaScript's order: array indexes first, by size, then all others as they came.

    It shows wherever an object is turned into text. Source: ECMA-262, OrdinaryOwnPropertyKeys.
    """
    if isinstance(value, list):
        return [in_property_order(item) for item in value]
    if isinstance(value, dict):
        indexes = sorted((key for key in value if _is_index_key(key)), key=int)
        return {key: in_property_order(value[key]) for key in dict.fromkeys((*indexes, *value))}
    return value


def _is_index_key(key: str) -> bool:
    index = array_index(key)
    return index is not None and index < 2**32 - 1
