"""Requests of the contract, made of what callers of a client give; what they cannot hold is an `InvalidValueError`."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from flowgram.runtime.v1 import runtime_service_pb2

from . import _json, models
from .errors import InvalidValueError

Seconds = float | timedelta
"""A duration: a number of seconds, or a timedelta."""
JSONSource = Mapping[str, Any] | str
"""A JSON object: a mapping, or JSON text, which is sent as it is."""

BatchSource = JSONSource | models.BatchRow | None
"""A row of a batch: its inputs, or those with an id of its own."""

_CANNOT_HOLD = (TypeError, ValueError, OverflowError)
"""What Protocol Buffers raises for a value of another type, out of its range, or not Unicode."""

_Request = TypeVar("_Request", bound=Message)


def list_request(
    kind: type[_Request], statuses: Iterable[models.Status], labels: Mapping[str, str] | None, **fields: Any
) -> _Request:
    """A request with a filter of tasks."""
    names = [f"STATUS_{each.name}" for each in statuses]
    return make_request(kind, statuses=names, labels=labels_of(labels), **fields)


def run_request(
    schema: JSONSource,
    inputs: JSONSource | None,
    request_id: str | None,
    task_timeout: Seconds | None,
    labels: Mapping[str, str] | None,
    display_name: str,
) -> runtime_service_pb2.TaskRunRequest:
    """A request to start a task."""
    return make_request(
        runtime_service_pb2.TaskRunRequest,
        schema=_json.dumps(schema, "schema"),
        inputs=inputs_text(inputs),
        # what makes a second attempt safe: the server answers it with the first one's task
        request_id=request_id or str(uuid.uuid4()),
        timeout=duration_of("task_timeout", task_timeout),
        labels=labels_of(labels),
        display_name=display_name,
    )


def inputs_text(inputs: JSONSource | None) -> str:
    """The JSON text of inputs; empty for none."""
    return "" if inputs is None else _json.dumps(inputs, "inputs")


def make_request(kind: type[_Request], **fields: Any) -> _Request:
    """A request of these fields. Raises `InvalidValueError`, naming the first field whose value it cannot hold."""
    try:
        return kind(**fields)
    except _CANNOT_HOLD as error:
        for name, value in fields.items():
            try:
                kind(**{name: value})
            except _CANNOT_HOLD as wrong:
                raise InvalidValueError(f"{name}: {wrong}") from None
        raise InvalidValueError(str(error)) from None


def labels_of(labels: Mapping[str, str] | None) -> dict[str, str]:
    """Labels as a dict. Raises `InvalidValueError`."""
    try:
        return dict(labels or {})
    except _CANNOT_HOLD:
        raise InvalidValueError(f"labels: expected a mapping of texts, not {type(labels).__name__}") from None


def duration_of(name: str, value: Seconds | None) -> Duration | None:
    """A duration for the field `name`. Raises `InvalidValueError`."""
    if value is None:
        return None
    duration = Duration()
    try:
        duration.FromTimedelta(value if isinstance(value, timedelta) else timedelta(seconds=value))
    except _CANNOT_HOLD:
        raise InvalidValueError(f"{name}: {value!r} is not a duration that can be sent") from None
    return duration
