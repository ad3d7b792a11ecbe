"""Workflow files: a schema, or `{"schema": …, "inputs": …}`, as in examples/."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from .exits import CommandError, ExitStatus

_SHOWN_DIGITS = 40
"""Of a number that is too large."""


class Workflow(NamedTuple):
    """A schema and its inputs: JSON text as it is in the file where it stands alone, values where it does not."""

    schema: dict[str, Any] | str
    inputs: dict[str, Any] | str | None
    name: str
    """The file's name without its suffix; empty for the standard input."""


def read_workflow(file: str, inputs: str | None) -> Workflow:
    """Read a workflow.

    Args:
        file: a path, or `-` for the standard input.
        inputs: JSON text, or `@` and a path; they replace the inputs that the file holds.

    Raises:
        CommandError: a file cannot be read, or is not JSON; the message names the position.
    """
    text = _read(file)
    value = _parse(text, "the standard input" if file == "-" else file)
    given = None if inputs is None else _read_inputs(inputs)
    if isinstance(value, dict) and "schema" in value and "nodes" not in value:
        return Workflow(value["schema"], value.get("inputs") if given is None else given, _name(file))
    return Workflow(text, given, _name(file))


def _name(file: str) -> str:
    name = "" if file == "-" else Path(file).stem
    return os.fsencode(name).decode("utf-8", "replace")  # a file's name may be any bytes


def _read_inputs(inputs: str) -> str:
    if not inputs.startswith("@"):
        _parse(inputs, "--inputs")
        return inputs
    text = _read(inputs[1:])
    _parse(text, inputs[1:])
    return text


def _read(file: str) -> str:
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", ExitStatus.INVALID) from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{file}: not UTF-8, at byte {error.start}", ExitStatus.INVALID) from None


def _parse(text: str, name: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        position = f"line {error.lineno}, column {error.colno}"
        raise CommandError(f"{name}: not JSON: {error.msg} at {position}", ExitStatus.INVALID) from None
    except OverflowError as error:
        raise CommandError(f"{name}: {error}", ExitStatus.INVALID) from None
    except ValueError as error:
        raise CommandError(f"{name}: not JSON: {error}", ExitStatus.INVALID) from None
    except RecursionError:
        raise CommandError(f"{name}: nested too deeply", ExitStatus.INVALID) from None


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise OverflowError(
            f"{digits[:_SHOWN_DIGITS]} is larger than {sys.float_info.max}, the largest number that is read"
        )
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
