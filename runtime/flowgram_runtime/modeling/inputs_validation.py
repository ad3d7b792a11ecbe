"""Inputs against the JSON schema that the start node declares as its `outputs`.

The rules and texts are those of FlowGram's `JSONSchemaValidator`, declarations that make no sense included: what is a
TypeError there is a text here.
"""

import math
from collections.abc import Iterable
from typing import Any

from flowgram_runtime.modeling import javascript, json_text
from flowgram_runtime.modeling.values import UNDEFINED

_ROOT = "root"


class _MalformedDeclaration(Exception):
    """The declaration is none; the text is that of JavaScript's TypeError."""


def validate_inputs(declared: Any, inputs: Any) -> str | None:
    """What is wrong with the inputs of a task, first of all; None if nothing is.

    Args:
        declared: The JSON schema, of any shape; `UNDEFINED` where there is none, which is an error.
        inputs: A JSON value, nested no deeper than `json_text.MAX_DEPTH`.
    """
    try:
        text = _check(inputs, declared, _ROOT)
    except _MalformedDeclaration as error:
        text = f"Validation error: {error}"
    return None if text is None else json_text.to_well_formed(f"JSON Schema validation failed: {text}")


def _check(value: Any, schema: Any, path: str) -> str | None:
    if schema is None or schema is UNDEFINED:
        raise _MalformedDeclaration(
            f"Cannot read properties of {javascript.to_string(schema)} (reading '$ref')"
        )
    # Any other value is an object to JavaScript, though one without members.
    if not isinstance(schema, dict):
        schema = {}
    if javascript.truthy(schema.get("$ref")):
        return None
    allowed = schema.get("enum")
    if _is_filled(allowed) and not _includes(allowed, value, "schema.enum"):
        return f"Value at {path} must be one of: {_join(allowed)}, but got: {_shown(value)}"
    declared = schema.get("type", UNDEFINED)
    match declared:
        case "boolean":
            return None if isinstance(value, bool) else _expected(declared, path, javascript.typeof(value))
        case "string":
            return None if isinstance(value, str) else _expected(declared, path, javascript.typeof(value))
        case "integer":
            whole = _is_number(value) and (isinstance(value, int) or value.is_integer())
            return None if whole else _expected(declared, path, _shown(value))
        case "number":
            number = _is_number(value) and not math.isnan(value)
            return None if number else _expected(declared, path, _shown(value))
        case "object":
            return _check_object(value, schema, path)
        case "array":
            return _check_array(value, schema, path)
        case "map":
            return _check_map(value, schema, path)
    return f'Unknown type "{javascript.to_string(declared)}" at {path}'


def _check_object(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not isinstance(value, dict):
        return _expected("object", path, _kind(value))
    required = schema.get("required", UNDEFINED)
    properties = schema.get("properties")
    for name in map(javascript.to_string, _iterate(required) if _is_filled(required) else ()):
        if name not in value:
            return f'Missing required property "{name}" at {path}'
    entries = dict(_entries(properties))
    if required is not None and required is not UNDEFINED:
        for name in entries:
            if _includes(required, name, "schema.required?") and name not in value:
                return f'Missing required property "{name}" at {path}'
    for name, schema_of_property in entries.items():
        if name in value:
            text = _check(value[name], schema_of_property, _member(path, name))
            if text is not None:
                return text
    additional = schema.get("additionalProperties")
    if javascript.truthy(additional):
        return _check_members(value, additional, path, entries)
    return None


def _check_map(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not isinstance(value, dict):
        return _expected("map", path, _kind(value))
    additional = schema.get("additionalProperties")
    return _check_members(value, additional, path, {}) if javascript.truthy(additional) else None


def _check_members(value: dict[str, Any], schema: Any, path: str, named: dict[str, Any]) -> str | None:
    for name, member in value.items():
        if name not in named:
            text = _check(member, schema, _member(path, name))
            if text is not None:
                return text
    return None


def _check_array(value: Any, schema: dict[str, Any], path: str) -> str | None:
    if not isinstance(value, list):
        return _expected("array", path, javascript.typeof(value))
    items = schema.get("items")
    if javascript.truthy(items):
        for index, item in enumerate(value):
            text = _check(item, items, f"{path}[{index}]")
            if text is not None:
                return text
    return None


def _expected(declared: str, path: str, found: str) -> str:
    return f"Expected {declared} at {path}, but got: {found}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    return "array" if isinstance(value, list) else javascript.typeof(value)


def _member(path: str, name: str) -> str:
    return name if path == _ROOT else f"{path}.{name}"


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


def _includes(value: Any, item: Any, name: str) -> bool:
    if isinstance(value, list):
        return javascript.includes(value, item)
    if isinstance(value, str):
        return javascript.to_string(item) in value
    raise _MalformedDeclaration(f"{name}.includes is not a function")


def _join(value: Any) -> str:
    if isinstance(value, str):
        raise _MalformedDeclaration("schema.enum.join is not a function")
    return ", ".join("" if element is None else javascript.to_string(element) for element in value)


def _entries(value: Any) -> Iterable[tuple[str, Any]]:
    """What `Object.entries` gives, where a value counts as given only if it is true."""
    if isinstance(value, dict):
        return value.items()
    if isinstance(value, list | str):
        return ((str(index), element) for index, element in enumerate(value))
    return ()


def _shown(value: Any) -> str:
    """What `JSON.stringify` prints."""
    return json_text.dumps(javascript.in_property_order(value))
