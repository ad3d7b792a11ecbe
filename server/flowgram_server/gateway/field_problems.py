"""Problems of fields and parameters of requests, in the words that the gateways in all languages use."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

_KINDS: Final = {
    type(None): "null", bool: "boolean", int: "number", float: "number", str: "string", dict: "object", list: "an array",
}  # fmt: skip
_SEQUENCE: Final = "must be the sequence of an event"
_PARAMETERS: Final = {
    "pageSize": "must be a number from 1 to 1000",
    "label": "must be KEY=VALUE",
    "status": "must be pending, processing, succeeded, failed or canceled",
    "view": "must be basic or full",
    "deltas": "must be true or false",
    "after": _SEQUENCE,
    "until": _SEQUENCE,
    "Last-Event-ID": _SEQUENCE,
}
"""What a parameter of a query, or a header, must be."""


def problems_of(errors: Sequence[Any]) -> list[str]:
    """What pydantic found, one text for each problem, with the field first, in the order of the texts."""
    found = {f"{'.'.join(_names(each['loc']))}: {_text(each)}" for each in errors}
    return sorted(found)


def _names(location: Sequence[int | str]) -> list[str]:
    # A parameter that may be repeated is one for its sender.
    shown = location[:1] if location and location[0] in _PARAMETERS else location
    return [str(name) for name in shown]


def _text(error: Mapping[str, Any]) -> str:
    location, limits = error["loc"], error.get("ctx", {})
    if error["type"] == "missing":
        return "is required"
    if location and location[0] in _PARAMETERS:
        return _PARAMETERS[location[0]]
    match error["type"]:
        case "dict_type" if location[-1] == "inputs":
            return "must be an object"
        case "dict_type" | "string_type":
            return f"must not be {_KINDS.get(type(error['input']), 'that')}"
        case "string_too_short" if location[-1] == "taskID":
            return "is required"
        case "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {limits['max_length']} characters"
        case "string_unicode":
            return "is no valid Unicode"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case _:
            return str(error["msg"])
