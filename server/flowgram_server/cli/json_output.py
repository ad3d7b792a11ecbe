"""Values as JSON for programs: one object per line."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import click

from flowgram_client import Event, MessageLogged, NodeStatusChanged, OutputDelta, TaskStatusChanged

_KINDS: dict[type, str] = {
    TaskStatusChanged: "task_status_changed",
    NodeStatusChanged: "node_status_changed",
    MessageLogged: "message",
    OutputDelta: "output_delta",
}


def jsonable(value: Any) -> Any:
    """A value of the client as JSON: times as RFC 3339, durations in seconds, what is None left out."""
    if is_dataclass(value) and not isinstance(value, type):
        named = ((field.name, getattr(value, field.name)) for field in fields(value))
        return {name.removesuffix("_or_none"): jsonable(each) for name, each in named if each is not None}
    if isinstance(value, Enum):
        return str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    return value


def echo_object(kind: str, value: Any) -> None:
    """Write one line: the value, with `type` as its first field."""
    click.echo(dump({"type": kind, **jsonable(value)}))


def echo_event(event: Event) -> None:
    """Write one event as a line."""
    echo_object(_KINDS[type(event)], event)


def dump(value: Any, indent: int | None = None) -> str:
    """JSON text; what is not ASCII stays readable, but for control characters and lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if any("\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff" for character in text):
        return json.dumps(value, indent=indent)
    return text
