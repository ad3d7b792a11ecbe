"""Validation of inputs against the JSON schema that the start node declares as its `outputs`.

The rules and texts are those of FlowGram's `JSONSchemaValidator`, declarations that make no sense included: what is a
TypeError there is a text here. Two types are added: `date-time`, and `unknown`, which is also that of a property that names
none, for any value. And where it stops at the first problem, the others are found too, in its order: the first
is the one that it reports.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from operator import ne
from typing import Any, TypeAlias

from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.simple_types import CLASSES, NARROWING, SimpleTypes, is_plain_object, simple_types
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.values import DATE_TIME, UNDEFINED, type_of

MAX_PROBLEMS = 1000
"""At most so many problems are reported; inputs may have one at every byte."""

MAX_PROBLEM_CHARACTERS = 1_000_000
"""No more problems are reported after texts of this total length; each may repeat a whole enumeration."""

_ROOT = "root"

_SLICE = 16_384
"""So many values are looked at in one go, in which no other thread runs: less than half a millisecond."""


# The location of a value: that of its container, and its name or index there. That of the outermost value is None. It becomes
# a path only where there is a problem.
_Location: TypeAlias = "tuple[_Location, str | int] | None"


class _MalformedDeclaration(Exception):
    """The declaration is malformed; the text is that of JavaScript's TypeError."""


class _Enough(Exception):
    """More problems were found than are reported."""


class _Findings(list[Problem]):
    """The problems found so far, and a cache of facts about the declaration."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self.meter = meter
        self._characters = 0
        self._members: dict[int, frozenset[Any]] = {}
        self._types: dict[int, SimpleTypes | None] = {}

    def add(self, location: _Location, text: str) -> None:
        """Adds a problem of the value at a location. Raises `_Enough` beyond the number that is reported."""
        if len(self) == MAX_PROBLEMS or self._characters > MAX_PROBLEM_CHARACTERS:
            raise _Enough
        self._characters += len(text)
        self._append(_field(location), text)

    def includes(self, declared: list[Any], value: Any) -> bool:
        """`declared.includes(value)`, for many values, each in the same time however many are declared."""
        members = self._members.get(id(declared))
        if members is None:
            members = self._members[id(declared)] = frozenset(map(javascript.identity, declared))
            self.meter.spend(PART * len(declared))
        return javascript.identity(value) in members

    def simple_types(self, declared: Any) -> SimpleTypes | None:
        """`simple_types` of a declaration, for many values."""
        key = id(declared)
        if key not in self._types:
            self._types[key] = simple_types(declared)
        return self._types[key]

    def finish(self) -> None:
        """Adds that there are more problems than are reported."""
        self._append("inputs", f"only the first {len(self)} problems are listed")

    def _append(self, field: str, text: str) -> None:
        full_text = f"JSON Schema validation failed: {text}"
        self.append(Problem(json_text.to_well_formed(field), json_text.to_well_formed(full_text)))


def validate_inputs(declared: Any, inputs: Any, meter: Meter | None = None) -> tuple[Problem, ...]:
    """What is wrong with the inputs of a task, in order; empty if nothing is.

    The first problem is the one that FlowGram reports. Of very many problems only the first are listed, with a note.

    Args:
        declared: The JSON schema, of any shape; `UNDEFINED` where there is none, which is an error.
        inputs: A JSON value, nested no deeper than `json_text.MAX_DEPTH`.
        meter: Counts the work; None: without a limit.

    Raises:
        WorkLimitExceeded: It is more than it may be.
    """
    findings = _Findings(meter or Meter())
    try:
        _check(inputs, declared, None, findings)
    except _Enough:
        findings.finish()
    return tuple(findings)


def _check(value: Any, schema: Any, location: _Location, findings: _Findings) -> None:
    findings.meter.spend(PART)
    try:
        text = _check_value(value, schema, location, findings)
    except _MalformedDeclaration as error:
        text = f"Validation error: {error}"
    if text is not None:
        findings.add(location, text)


def _check_value(value: Any, schema: Any, location: _Location, findings: _Findings) -> str | None:
    """The problem of the value itself, or None; problems of its members are added to the findings."""
    if schema is None or schema is UNDEFINED:
        raise _MalformedDeclaration(
            f"Cannot read properties of {javascript.to_string(schema)} (reading '$ref')"
        )
    # Any other value is an object to JavaScript, though one without members.
    is_declaration = isinstance(schema, dict)
    if not is_declaration:
        schema = {}
    # Most declarations lack most of these, and this runs for every value of every task.
    reference = schema.get("$ref")
    if reference is not None and javascript.truthy(reference):
        return None
    allowed = schema.get("enum")
    if allowed is not None and _is_filled(allowed) and not _includes(allowed, value, "schema.enum", findings):
        return f"Value at {_path(location)} must be one of: {_join(allowed)}, but got: {_shown(value)}"
    declared = schema.get("type", UNDEFINED)
    match declared:
        case "boolean":
            return (
                None if isinstance(value, bool) else _expected(declared, location, javascript.typeof(value))
            )
        case "string":
            return None if isinstance(value, str) else _expected(declared, location, javascript.typeof(value))
        case "integer":
            whole = _is_number(value) and (isinstance(value, int) or value.is_integer())
            return None if whole else _expected(declared, location, _shown(value))
        case "number":
            number = _is_number(value) and value == value  # noqa: PLR0124 - NaN
            return None if number else _expected(declared, location, _shown(value))
        case "object":
            return _check_object(value, schema, location, findings)
        case "array":
            return _check_array(value, schema, location, findings)
        case "map":
            return _check_map(value, schema, location, findings)
        case "date-time":
            dated = type_of(value) == DATE_TIME
            return None if dated else _expected(declared, location, _shown(value))
        case "unknown":
            return None
    if declared is UNDEFINED and location is not None and is_declaration:
        return None
    return f'Unknown type "{javascript.to_string(declared)}" at {_path(location)}'


def _check_object(value: Any, schema: dict[str, Any], location: _Location, findings: _Findings) -> str | None:
    if not isinstance(value, dict):
        return _expected("object", location, _kind(value))
    required = schema.get("required", UNDEFINED)
    properties = schema.get("properties")
    missing = set()
    if required is not UNDEFINED and _is_filled(required):
        findings.meter.spend(PART * len(required))
        for name in map(javascript.to_string, _iterate(required)):
            if name not in value and name not in missing:
                missing.add(name)
                _add_missing(name, location, findings)
    entries = properties if isinstance(properties, dict) else dict(_entries(properties))
    if required is not None and required is not UNDEFINED:
        for name in entries:
            findings.meter.spend(PART)
            declared = _includes(required, name, "schema.required?", findings)
            if declared and name not in value and name not in missing:
                _add_missing(name, location, findings)
    findings.meter.spend(PART * len(entries))
    for name, schema_of_property in entries.items():
        if name in value:
            _check(value[name], schema_of_property, (location, name), findings)
    additional = schema.get("additionalProperties")
    if additional is not None and javascript.truthy(additional):
        _check_members(value, additional, location, entries, findings)
    return None


def _check_map(value: Any, schema: dict[str, Any], location: _Location, findings: _Findings) -> str | None:
    if not isinstance(value, dict):
        return _expected("map", location, _kind(value))
    additional = schema.get("additionalProperties")
    if javascript.truthy(additional):
        _check_members(value, additional, location, {}, findings)
    return None


def _check_members(
    value: dict[str, Any], schema: Any, location: _Location, named: dict[str, Any], findings: _Findings
) -> None:
    if not named and _are_plain(value.values(), schema):
        findings.meter.spend(2 * PART * len(value))
        return
    findings.meter.spend(PART * len(value))
    for name, member in value.items():
        if name not in named:
            _check(member, schema, (location, name), findings)


def _check_array(value: Any, schema: dict[str, Any], location: _Location, findings: _Findings) -> str | None:
    if not isinstance(value, list):
        return _expected("array", location, javascript.typeof(value))
    items = schema.get("items")
    if not javascript.truthy(items):
        return None
    if _are_plain(value, items):
        findings.meter.spend(PART * len(value))
        return None
    types = findings.simple_types(items)
    if types is None:
        for index, item in enumerate(value):
            _check(item, items, (location, index), findings)
        return None
    work = PART * (1 + 4 * len(types))
    for index, item in enumerate(value):
        if is_plain_object(item, types):
            findings.meter.spend(work)
        else:
            _check(item, items, (location, index), findings)
    return None


def _are_plain(values: Collection[Any], schema: Any) -> bool:
    """Whether all values have the one simple type that is declared: without a call for each, as in most arrays."""
    declared = schema.get("type") if isinstance(schema, dict) else None
    classes = CLASSES.get(declared) if isinstance(declared, str) else None
    if classes is None or not NARROWING.isdisjoint(schema):
        return False
    remaining = iter(values)
    while part := list(islice(remaining, _SLICE)):
        if not classes.issuperset(map(type, part)):
            return False
        if float in classes and any(map(ne, part, part)):  # NaN
            return False
    return True


def _add_missing(name: str, location: _Location, findings: _Findings) -> None:
    findings.add((location, name), f'Missing required property "{name}" at {_path(location)}')


def _expected(declared: str, location: _Location, found: str) -> str:
    return f"Expected {declared} at {_path(location)}, but got: {found}"


def _members(location: _Location) -> list[str | int]:
    """The members that lead to a location, from the outermost value on."""
    members: list[str | int] = []
    while location is not None:
        location, member = location
        members.append(member)
    members.reverse()
    return members


def _path(location: _Location) -> str:
    """A location as FlowGram names it: without the root, but for what lies in it directly."""
    path = _ROOT
    for member in _members(location):
        if isinstance(member, int):
            path = f"{path}[{member}]"
        else:
            path = member if path == _ROOT else f"{path}.{member}"
    return path


def _field(location: _Location) -> str:
    """A location as a path of field names."""
    names = (f"[{member}]" if isinstance(member, int) else f".{member}" for member in _members(location))
    return "inputs" + "".join(names)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "array" if isinstance(value, list) else javascript.typeof(value)


def _is_filled(value: Any) -> bool:
    """Whether JavaScript finds a `length` above 0."""
    if isinstance(value, dict):
        return bool(javascript.less_than(0, value.get("length", UNDEFINED)))
    return isinstance(value, list | str) and len(value) > 0


def _iterate(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        raise _MalformedDeclaration("schema.required is not iterable")
    elements: Iterable[Any] = value
    return elements


def _includes(value: Any, item: Any, name: str, findings: _Findings) -> bool:
    if isinstance(value, list):
        return findings.includes(value, item)
    if isinstance(value, str):
        if isinstance(item, list):
            findings.meter.spend(size_of(item, 2**62, findings.meter))
        return javascript.contains(value, javascript.to_string(item), findings.meter)
    raise _MalformedDeclaration(f"{name}.includes is not a function")


def _join(value: Any) -> str:
    if isinstance(value, str):
        raise _MalformedDeclaration("schema.enum.join is not a function")
    return ", ".join("" if element is None else javascript.to_string(element) for element in value)


def _entries(value: Any) -> Iterable[tuple[str, Any]]:
    """What `Object.entries` gives, for a truthy value; nothing for others."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | str):
        return ((str(index), element) for index, element in enumerate(value))
    return ()


def _shown(value: Any) -> str:
    """What `JSON.stringify` prints."""
    ordered = [javascript.in_property_order(value)]
    text = json_text.dumps(ordered[0])
    dispose(ordered)
    return text
