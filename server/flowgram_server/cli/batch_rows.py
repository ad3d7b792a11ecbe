"""Rows of a batch: read one by one from a file of JSON lines or of comma-separated values."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from .exits import CommandError, ExitStatus

_LONGEST_FIELD: Final = 16 * 1024 * 1024


class Row(NamedTuple):
    """A row of the file.

    Attributes:
        number: Its number, from 1; a heading and blank lines do not count.
        inputs: The inputs as JSON text; empty if it is wrong.
        error: What is wrong with it; empty if nothing is.
    """

    number: int
    inputs: str
    error: str = ""


def read_rows(path: Path, types: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a file, read as they are wanted. What is wrong with one is said in it, and the others are read.

    Args:
        path: A file; `.csv` has comma-separated values under a heading with names of inputs, any other one JSON object a line.
        types: The types of the workflow's inputs by name, as a CSV file does not say them.

    Raises:
        CommandError: The file cannot be read, or its heading cannot be used.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            yield from _csv_rows(file, path, types) if path.suffix.lower() == ".csv" else _json_rows(file)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", ExitStatus.INVALID) from None


def input_types(schema: Mapping[str, Any] | str) -> dict[str, str]:
    """The types that a workflow's start node declares, by input; none where the schema is not one."""
    try:
        parsed = json.loads(schema) if isinstance(schema, str) else schema
        start = next(node for node in parsed["nodes"] if node["type"] == "start")
        properties = start["data"]["outputs"]["properties"]
        return {name: str(declared.get("type", "")) for name, declared in properties.items()}
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return {}


def _json_rows(lines: Iterator[str]) -> Iterator[Row]:
    number = 0
    for line in lines:
        text = line.strip()
        if not text:
            continue
        number += 1
        try:
            text.encode()
            value = json.loads(text)
        except UnicodeEncodeError:
            yield Row(number, "", "is not UTF-8")
        except json.JSONDecodeError as error:
            yield Row(number, "", f"is not JSON: {error.msg} at column {error.colno}")
        except (ValueError, RecursionError) as error:
            yield Row(number, "", f"is not JSON: {error}")
        else:
            yield Row(number, text) if isinstance(value, dict) else Row(number, "", "is no JSON object")


def _csv_rows(file: Iterator[str], path: Path, types: Mapping[str, str]) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(file, strict=True)
    heading: list[str] = []
    number = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not heading:
                raise CommandError(f"{path}: {error}", ExitStatus.INVALID) from None
            number += 1
            yield Row(number, "", f"is not CSV: {error} at line {reader.line_num}")
            continue
        if not fields or fields == [""]:
            continue
        if not heading:
            heading = _heading(fields, path)
            continue
        number += 1
        if len(fields) != len(heading):
            yield Row(number, "", f"has {len(fields)} fields, and the heading {len(heading)}")
            continue
        try:
            inputs = {
                name: _value(text, types.get(name, "string"), name)
                for name, text in zip(heading, fields, strict=True)
                if text or types.get(name, "string") == "string"
            }
            text = json.dumps(inputs, ensure_ascii=False)
            text.encode()
            yield Row(number, text)
        except UnicodeEncodeError:
            yield Row(number, "", "is not UTF-8")
        except ValueError as error:
            yield Row(number, "", str(error))


def _heading(fields: list[str], path: Path) -> list[str]:
    names = [field.strip() for field in fields]
    if not all(names) or len(set(names)) != len(names):
        text = f"{path}: the first line must name the inputs, each once"
        raise CommandError(text, ExitStatus.INVALID)
    return names


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("true or false")
    return text.lower() == "true"


_READERS: Final[Mapping[str, tuple[str, Callable[[str], Any]]]] = {
    "integer": ("an integer", int),
    "number": ("a number", json.loads),
    "boolean": ("true or false", _boolean),
    "object": ("a JSON object", json.loads),
    "array": ("a JSON array", json.loads),
    "map": ("a JSON object", json.loads),
}


def _value(text: str, declared: str, name: str) -> Any:
    """A field in the type that its input has."""
    if declared not in _READERS:
        return text
    wanted, read = _READERS[declared]
    try:
        return read(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{name} should be {wanted}") from None
