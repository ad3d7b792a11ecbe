"""Inputs of the core: what the host tells it, one at a time. The log keeps each as JSON, so that a task can be rebuilt."""

from typing import NamedTuple

from flowgram_core.engine.errors import ProtocolError
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject


class Queue(NamedTuple):
    """The task was accepted and waits for its turn.

    Attributes:
        at: When, in microseconds since the epoch, as in all inputs.
        settings: If this is the task's first input: what the host pinned to the task. The core only keeps it.
    """

    at: int
    settings: JSONObject | None = None


class Start(NamedTuple):
    """The task begins to run.

    Attributes:
        at: When.
        settings: As in `Queue`.
    """

    at: int
    settings: JSONObject | None = None


class CallSucceeded(NamedTuple):
    """A call gave its outputs, a JSON object."""

    at: int
    key: str
    outputs: JSONObject


class CallFailed(NamedTuple):
    """A call failed with a text for users."""

    at: int
    key: str
    error: str


class Cancel(NamedTuple):
    """Somebody asked the task to stop; the reason may be empty."""

    at: int
    reason: str


class TimeOut(NamedTuple):
    """The task has run for longer than it may (the limit in microseconds)."""

    at: int
    limit: int


Input = Queue | Start | CallSucceeded | CallFailed | Cancel | TimeOut

_KINDS: dict[str, type[Input]] = {
    "queue": Queue,
    "start": Start,
    "succeeded": CallSucceeded,
    "failed": CallFailed,
    "cancel": Cancel,
    "timeout": TimeOut,
}
# A value that is as deep as any may be comes in the outputs, and these in the list of fields.
_MAX_DEPTH = json_text.MAX_DEPTH + 2
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_json(given: Input) -> str:
    """The input as JSON text: its kind, then its fields in order, without settings that are None."""
    fields = given if given[-1] is not None else given[:-1]
    return json_text.dumps([_NAMES[type(given)], *fields])


def from_json(text: str) -> Input:
    """The input that a JSON text of `to_json` stands for. Raises `ProtocolError` for any other text."""
    try:
        recorded = json_text.loads(text, max_depth=_MAX_DEPTH)
        if isinstance(recorded, list):
            name, *fields = recorded
            given = _KINDS[str(name)](*fields)
            objects = isinstance(given, CallSucceeded | Queue | Start) and len(fields) > 1
            if not objects or isinstance(fields[-1], dict):
                return given
    except (ValueError, TypeError, LookupError) as error:
        raise ProtocolError("not a recorded input") from error
    raise ProtocolError("not a recorded input")
