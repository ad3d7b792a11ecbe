"""The operators of conditions: which ones a left type has, which type the right side must have, and when they hold.

Source: FlowGram's condition rules and handlers. Different here: an unset text contains nothing instead of raising, `""`, `[]`
and `{}` are empty as null is, and arrays are compared by their content.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import javascript
from flowgram_core.modeling.dates import time_value
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.values import (
    ARRAY,
    BOOLEAN,
    DATE_TIME,
    INTEGER,
    MAP,
    NULL,
    NUMBER,
    OBJECT,
    STRING,
)
from flowgram_core.nodes.condition.arrays import contains_all, deep_equal

Holds = Callable[[Any, Any, Meter], bool]


class Rule(NamedTuple):
    """One operator of one left type.

    Attributes:
        right_type: The type that the right side must have, and that a constant there takes; None if it is not looked at.
        holds: Whether the condition holds for a left and a right value.
    """

    right_type: str | None
    holds: Holds


_LONGEST_TEXT = 32 * 1024 * 1024
_ORDERED = 4
"""Work of ordering a character among others: texts are encoded for it."""


def _is_number(value: Any) -> bool:
    """Whether it compares in Python as it does in JavaScript: the usual case, which needs none of its other rules."""
    kind = type(value)
    return kind is int or kind is float


def _equal(left: Any, right: Any, meter: Meter) -> bool:
    if type(left) is str:
        meter.spend(javascript.compared_bytes(left))
    return javascript.strict_equals(left, right)


def _not_equal(left: Any, right: Any, meter: Meter) -> bool:
    return not _equal(left, right, meter)


def _primitive(value: Any, meter: Meter) -> Any:
    """A side as it is ordered, or looked for: an array as a text. Raises `NodeError` where that is too long."""
    if isinstance(value, str):
        meter.spend(_ORDERED * len(value))
    if not isinstance(value, list):
        return value
    # A variable can be put into itself again and again: then only the text is large.
    if size_of(value, _LONGEST_TEXT, meter) > _LONGEST_TEXT:
        raise NodeError("Condition compares an array that is too large")
    text = javascript.to_string(value)
    meter.spend(_ORDERED * len(text))
    return text


def _less(left: Any, right: Any, meter: Meter) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left < right)
    return javascript.less_than(_primitive(left, meter), _primitive(right, meter)) is True


def _greater(left: Any, right: Any, meter: Meter) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left > right)
    return javascript.less_than(_primitive(right, meter), _primitive(left, meter)) is True


def _at_most(left: Any, right: Any, meter: Meter) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left <= right)
    return javascript.less_than(_primitive(right, meter), _primitive(left, meter)) is False


def _at_least(left: Any, right: Any, meter: Meter) -> bool:
    if _is_number(left) and _is_number(right):
        return bool(left >= right)
    return javascript.less_than(_primitive(left, meter), _primitive(right, meter)) is False


def _in(left: Any, right: Any, meter: Meter) -> bool:
    if isinstance(right, list):
        return javascript.includes(right, left, meter)
    if isinstance(right, str):
        # A constant for an array that is no JSON stays text, and texts have `includes` too.
        return javascript.contains(right, javascript.to_string(_primitive(left, meter)), meter)
    # Here and below: the JavaScript errors that FlowGram users see where a value is not of its declared type.
    missing = "Cannot read properties of null (reading 'includes')"
    raise NodeError(missing if right is None else "rightValue.includes is not a function")


def _not_in(left: Any, right: Any, meter: Meter) -> bool:
    return not _in(left, right, meter)


def _contains(left: Any, right: Any, meter: Meter) -> bool:
    if left is None:
        return False
    if isinstance(left, list):
        return javascript.includes(left, right, meter)
    if isinstance(left, str):
        return javascript.contains(left, javascript.to_string(_primitive(right, meter)), meter)
    raise NodeError("leftValue.includes is not a function")


def _contains_not(left: Any, right: Any, meter: Meter) -> bool:
    return not _contains(left, right, meter)


def _not_deep_equal(left: Any, right: Any, meter: Meter) -> bool:
    return not deep_equal(left, right, meter)


def _contains_not_all(left: Any, right: Any, meter: Meter) -> bool:
    return not contains_all(left, right, meter)


def _both_null(left: Any, right: Any, meter: Meter) -> bool:  # noqa: ARG001
    return left is None and right is None


def _is_true(left: Any, right: Any, meter: Meter) -> bool:  # noqa: ARG001
    return left is True


def _is_false(left: Any, right: Any, meter: Meter) -> bool:  # noqa: ARG001
    return left is False


def _is_empty(left: Any, right: Any, meter: Meter) -> bool:  # noqa: ARG001
    return left is None or (isinstance(left, str | list | dict) and not left)


def _is_not_empty(left: Any, right: Any, meter: Meter) -> bool:
    return not _is_empty(left, right, meter)


def _dated_work(value: Any) -> int:
    return 2 * len(value) if isinstance(value, str) else 0


def _dated(compare: Callable[[int, int], bool], *, otherwise: bool = False) -> Holds:
    def holds(left: Any, right: Any, meter: Meter) -> bool:
        meter.spend(_dated_work(left) + _dated_work(right))
        left_instant, right_instant = time_value(left), time_value(right)
        if left_instant is None or right_instant is None:
            return otherwise
        return compare(left_instant, right_instant)

    return holds


_EMPTY = {"is_empty": Rule(None, _is_empty), "is_not_empty": Rule(None, _is_not_empty)}


def _numeric(right_type: str) -> dict[str, Rule]:
    return {
        "eq": Rule(right_type, _equal),
        "neq": Rule(right_type, _not_equal),
        "gt": Rule(right_type, _greater),
        "gte": Rule(right_type, _at_least),
        "lt": Rule(right_type, _less),
        "lte": Rule(right_type, _at_most),
        "in": Rule(ARRAY, _in),
        "nin": Rule(ARRAY, _not_in),
        **_EMPTY,
    }


RULES: dict[str, dict[str, Rule]] = {
    STRING: {
        "eq": Rule(STRING, _equal),
        "neq": Rule(STRING, _not_equal),
        "contains": Rule(STRING, _contains),
        "not_contains": Rule(STRING, _contains_not),
        "in": Rule(ARRAY, _in),
        "nin": Rule(ARRAY, _not_in),
        **_EMPTY,
    },
    NUMBER: _numeric(NUMBER),
    INTEGER: _numeric(INTEGER),
    BOOLEAN: {
        "eq": Rule(BOOLEAN, _equal),
        "neq": Rule(BOOLEAN, _not_equal),
        "is_true": Rule(None, _is_true),
        "is_false": Rule(None, _is_false),
        "in": Rule(ARRAY, _in),
        "nin": Rule(ARRAY, _not_in),
        **_EMPTY,
    },
    DATE_TIME: {
        "eq": Rule(DATE_TIME, _dated(lambda left, right: left == right)),
        "neq": Rule(DATE_TIME, _dated(lambda left, right: left != right, otherwise=True)),
        "gt": Rule(DATE_TIME, _dated(lambda left, right: left > right)),
        "gte": Rule(DATE_TIME, _dated(lambda left, right: left >= right)),
        "lt": Rule(DATE_TIME, _dated(lambda left, right: left < right)),
        "lte": Rule(DATE_TIME, _dated(lambda left, right: left <= right)),
        **_EMPTY,
    },
    OBJECT: _EMPTY,
    MAP: _EMPTY,
    ARRAY: {
        "eq": Rule(ARRAY, deep_equal),
        "neq": Rule(ARRAY, _not_deep_equal),
        "contains": Rule(ARRAY, contains_all),
        "not_contains": Rule(ARRAY, _contains_not_all),
        **_EMPTY,
    },
    NULL: {"eq": Rule(NULL, _both_null), **_EMPTY},
}
"""Rules by left type, then by operator."""
