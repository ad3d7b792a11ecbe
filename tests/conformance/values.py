"""Random values and the JSON schemas that declare them: the edges of JSON and of JavaScript more often than the middle."""

from random import Random
from typing import Any

Schema = dict[str, Any]

SCALARS = ("string", "integer", "number", "boolean")
TYPES = (*SCALARS, "object", "array", "map", "date-time")

STRINGS = (
    "", "a", "b", "hello world", "Hello", " padded ", "5", "-1.5", "true", "null", "undefined", "a.b.c", "x,y", "[1, 2]",
    '{"k": 1}', '{"k": [1, {"d": "deep"}]}', "{broken", "[object Object]", "{{ not a ref", "}} {{", "$1 $& $$", "back\\slash",
    'say "hi"', "tab\tand\nline", "h\u00e9llo", "\u65e5\u672c\u8a9e", "emoji \U0001f600!", "e\u0301", "\u2028\u2029", "\ufeffbom",
    "\u0000", "\ud83d alone", "\ude00\ud83d", "2024-02-30", "0", "1e21", "constructor", "length", "long " * 20,
)  # fmt: skip
DATE_TIMES = (
    "2024-01-31T10:00:00Z", "2024-01-31T10:00:00", "2024-01-31T10:00:00.000Z", "2024-01-31T09:59:59.999Z", "1999-12-31T23:59:59",
    "2024-02-30T00:00:00Z", "1970-01-01T00:00:00Z", "2024-12-31T24:00:00Z", "2038-01-19T03:14:07.123", "0001-01-01T00:00:00Z",
)  # fmt: skip
NEARLY_DATE_TIMES = (
    "2024-13-01T00:00:00Z", "2024-01-32T00:00:00Z", "2024-01-01T25:00:00Z", "2024-01-01T10:00Z", "2024-01-01T10:00:00+01:00",
    "2024-01-01T10:00:00.1Z", "2024-01-01 10:00:00", "2024-01-31T24:00:01Z", "2024-1-1T00:00:00Z", "2024-01-01T10:00:60Z",
)  # fmt: skip
INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    10,
    42,
    100,
    -17,
    2**31,
    2**53 - 1,
    -(2**53) + 1,
    3.0,
    -0.0,
    1e21,
    1000000.0,
    1e20,
)
NUMBERS = (
    0.5,
    -0.5,
    0.1,
    0.30000000000000004,
    1.5,
    3.14159,
    1e-7,
    1.5e-10,
    123456789.125,
    1e300,
    5e-324,
    2.5e21,
    -7.25,
)
BIG_INTEGERS = (2**53 + 1, 12345678901234567890, -(2**63), 10**30 + 1)
KEYS = ("a", "b", "c", "name", "items", "deep", "x y", "k.k", "\u00e9", "0", "length", "value")


def scalar(rng: Random, kind: str) -> Any:
    """A value of a scalar type."""
    match kind:
        case "string":
            pool = rng.choices((STRINGS, DATE_TIMES, NEARLY_DATE_TIMES), (86, 8, 6))[0]
            return rng.choice(pool)
        case "date-time":
            return rng.choice(DATE_TIMES)
        case "integer":
            return rng.choice(INTEGERS) if rng.random() < 0.6 else rng.randint(-20, 20)
        case "number":
            return rng.choice(NUMBERS if rng.random() < 0.6 else INTEGERS)
        case _:
            return rng.random() < 0.5


def schema(rng: Random, depth: int = 2, kind: str | None = None) -> Schema:
    """The schema of a random type. None is a date-time, which validation of inputs does not know."""
    if kind is None:
        kind = rng.choice(
            SCALARS if depth <= 0 else (*SCALARS, *SCALARS, "object", "object", "array", "array", "map")
        )
    made: Schema = {"type": kind}
    if kind == "object" and rng.random() < 0.9:
        keys = rng.sample(KEYS, rng.randint(0, 3))
        made["properties"] = {key: schema(rng, depth - 1) for key in keys} if depth > 0 else {}
        if keys and depth > 0 and rng.random() < 0.2:
            made["required"] = [rng.choice(keys)]
    elif kind == "array" and rng.random() < 0.93:
        made["items"] = schema(rng, depth - 1) if depth > 0 else {"type": rng.choice(SCALARS)}
    elif kind == "map" and rng.random() < 0.5:
        made["additionalProperties"] = {"type": rng.choice(SCALARS)}
    if rng.random() < 0.1:
        made["key"] = rng.randint(0, 99)
        made["extra"] = {"index": rng.randint(0, 9)}
        made["isPropertyRequired"] = rng.random() < 0.5
    return made


def value(rng: Random, made: Schema, depth: int = 3) -> Any:
    """A value that its schema admits."""
    kind = made.get("type")
    if kind == "object":
        required = made.get("required", ())
        found = {
            key: value(rng, inner, depth - 1)
            for key, inner in made.get("properties", {}).items()
            if key in required or rng.random() < 0.9
        }
        if rng.random() < 0.2:
            found[rng.choice(KEYS)] = found.get("a", scalar(rng, "integer"))
        for key, inner in made.get("properties", {}).items():
            if key in found and inner is not None:
                found[key] = value(rng, inner, depth - 1)
        return found
    if kind == "array":
        items = made.get("items")
        size = 0 if rng.random() < 0.08 else rng.randint(1, 4)
        return [value(rng, items, depth - 1) if items else anything(rng, 1) for _ in range(size)]
    if kind == "map":
        inner = made.get("additionalProperties")
        keys = rng.sample(KEYS, rng.randint(0, 3))
        return {key: value(rng, inner) if inner else anything(rng, 1) for key in keys}
    if "enum" in made:
        return rng.choice(made["enum"])
    return scalar(rng, kind or "string")


def anything(rng: Random, depth: int = 2) -> Any:
    """Any JSON value."""
    roll = rng.random()
    if roll < 0.06:
        return None
    if depth > 0 and roll < 0.2:
        return [anything(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if depth > 0 and roll < 0.36:
        return {key: anything(rng, depth - 1) for key in rng.sample(KEYS, rng.randint(0, 3))}
    return scalar(rng, rng.choice((*SCALARS, "date-time")))


def path_into(rng: Random, found: Any) -> list[Any]:
    """A path of property keys and indexes into a value; one that leads nowhere now and then."""
    path: list[Any] = []
    while True:
        if rng.random() < 0.12:
            path.append(rng.choice(("missing", "0", "length", "9", "a", "00", "-1")))
            return path
        if isinstance(found, dict) and found:
            key = rng.choice(list(found))
            path.append(key)
            found = found[key]
        elif isinstance(found, list) and found:
            index = rng.randrange(len(found))
            path.append(rng.choice((str(index), index)))
            found = found[index]
        else:
            if rng.random() < 0.2:
                path.append(rng.choice(("length", "0")))
            return path
        if rng.random() < 0.35:
            return path


def at_path(found: Any, path: list[Any]) -> Any:
    """What lies at a path, or None: only to choose fitting types, so that strings need not be looked into."""
    for key in path:
        if isinstance(found, dict):
            found = found.get(str(key))
        elif isinstance(found, list) and str(key) in map(str, range(len(found))):
            found = found[int(key)]
        elif key == "length" and isinstance(found, list | str):
            found = len(found)
        else:
            return None
    return found


def type_of(found: Any) -> str:
    """The type of a value, roughly as FlowGram tells them: enough to choose a fitting operator."""
    if isinstance(found, bool):
        return "boolean"
    if isinstance(found, int) or (isinstance(found, float) and found.is_integer()):
        return "integer"
    if isinstance(found, float):
        return "number"
    if isinstance(found, str):
        return "date-time" if found in DATE_TIMES else "string"
    if isinstance(found, list):
        return "array"
    return "object" if isinstance(found, dict) else "null"
