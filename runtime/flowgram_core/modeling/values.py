"""Values and variables, and their FlowGram types.

A JSON value has one of nine types (`type_of`). A variable also has a *declared* type, which its value need not have:
FlowGram believes declarations and never checks them.
"""

import math
import re
from typing import Any, Final, TypeVar, final

from mypy_extensions import mypyc_attr

from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.sizes import dict_memory

STRING: Final = "string"
INTEGER: Final = "integer"
NUMBER: Final = "number"
BOOLEAN: Final = "boolean"
OBJECT: Final = "object"
ARRAY: Final = "array"
MAP: Final = "map"
DATE_TIME: Final = "date-time"
NULL: Final = "null"
UNKNOWN: Final = "unknown"
"""The declared type of what may have any; as is a declaration that names none."""

JSON_TYPES: Final = frozenset({OBJECT, ARRAY, MAP})
"""Declared types whose constants and defaults may be written as JSON text."""

_NUMERIC: Final = frozenset({INTEGER, NUMBER})

_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
    r"T(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{3})?|24:00:00(?:\.000)?)Z?"
)
"""What FlowGram's pattern accepts and `Date` finds valid: any day up to 31 in every month, 24:00:00 included."""


class Undefined:
    """The type of `UNDEFINED`: a variable that exists and was never set (JavaScript's undefined)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"

    def __bool__(self) -> bool:
        return False


UNDEFINED: Final = Undefined()


@final
@mypyc_attr(acyclic=True)
class Variable:
    """A value with its type: what a reference finds.

    Attributes:
        value: A JSON value, or `UNDEFINED`.
        type: The declared type where the variable was named whole, else the type of the value found inside it.
        items_type: For arrays, the type of their items; None where it is unknown.
    """

    __slots__ = ("items_type", "type", "value")

    def __init__(self, value: Any, type: str | None, items_type: str | None = None) -> None:  # noqa: A002 - as the attribute
        self.value = value
        self.type = type
        self.items_type = items_type

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Variable)
            and bool(self.value == other.value)
            and self.type == other.type
            and self.items_type == other.items_type
        )

    def __hash__(self) -> int:
        return hash((self.type, self.items_type))

    def __repr__(self) -> str:
        return f"Variable({self.value!r}, {self.type!r}, {self.items_type!r})"

    def with_value(self, value: Any) -> "Variable":
        """A variable of the same types."""
        return Variable(value, self.type, self.items_type)


_AnyJSON = TypeVar("_AnyJSON")

_MAX_BITS: Final = 1024
"""Of the largest integers that a double can be about as large as."""


def copied(value: _AnyJSON, meter: Meter | None = None) -> _AnyJSON:
    """A deep copy of a JSON value or `UNDEFINED`.

    Shared parts stay shared: the copy takes no more memory than the original. As in JSON text, tuples become lists, and
    NaN and infinities null. The meter counts the work, and the memory.

    Raises:
        TypeError: The value is no JSON value.
    """
    if value is UNDEFINED:
        return value
    whole: list[Any] = [value]
    copies: dict[int, Any] = {}
    pending: list[Any] = [whole]
    while pending:
        container = pending.pop()
        if meter is not None:
            meter.spend(PART * (1 + len(container)))
            meter.allocated += dict_memory(len(container))
        for key, part in container.items() if type(container) is dict else enumerate(container):
            if isinstance(part, dict | list | tuple):
                copy = copies.get(id(part))
                if copy is None:
                    copy = copies[id(part)] = dict(part) if isinstance(part, dict) else list(part)
                    pending.append(copy)
                container[key] = copy
            elif isinstance(part, float):
                if not math.isfinite(part):
                    container[key] = None
            elif isinstance(part, int):
                if part.bit_length() > _MAX_BITS:
                    raise TypeError("a number is beyond the range of a double")
            elif part is not None and not isinstance(part, str):
                raise TypeError(f"{type(part).__name__} is no JSON value")
            if type(container) is dict and not isinstance(key, str):
                raise TypeError(f"a member of a JSON object has a name of type {type(key).__name__}")
    return whole[0]  # type: ignore[no-any-return]  # of the type that it was


def type_of(value: object) -> str:
    """The type of a JSON value. `1.0` is an integer, a valid ISO 8601 text a date-time, `UNDEFINED` is null.

    Source: FlowGram's `WorkflowRuntimeType.getWorkflowType`.
    """
    if isinstance(value, str):
        # The length check spares nearly all strings the pattern.
        if 19 <= len(value) <= 24 and _DATE_TIME.fullmatch(value):
            return DATE_TIME
        return STRING
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INTEGER
    if isinstance(value, float):
        return INTEGER if value.is_integer() else NUMBER
    if isinstance(value, list):
        return ARRAY
    if isinstance(value, dict):
        return OBJECT
    return NULL


def variable_of(value: Any) -> Variable:
    """A variable with the type that its value really has."""
    if isinstance(value, list):
        return Variable(value, ARRAY, type_of(value[0]) if value else NULL)
    return Variable(value, type_of(value))


def types_equal(left: str | None, right: str | None) -> bool:
    """Whether two types are interchangeable: the same, or `integer` and `number`."""
    return left == right or (left in _NUMERIC and right in _NUMERIC)
