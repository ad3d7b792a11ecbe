"""Activations: what the host applies to the core, one at a time. The log keeps each as JSON, so that a task can be replayed."""

from typing import NamedTuple

from flowgram_core.engine.errors import ProtocolError
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject


class Queue(NamedTuple):
    """The task was accepted and waits in the queue.

    Attributes:
        at: When, in microseconds since the epoch, as in all activations.
        settings: On the task's first activation: the settings that the host pinned to the task. The core ignores them.
        trace: On the task's first activation: the trace that the task is a part of, for the host's observer; ignored as well.
    """

    at: int
    settings: JSONObject | None = None
    trace: str | None = None


class Start(NamedTuple):
    """The task begins to run.

    Attributes:
        at: When.
        settings: As in `Queue`.
        trace: As in `Queue`.
    """

    at: int
    settings: JSONObject | None = None
    trace: str | None = None


class CallSucceeded(NamedTuple):
    """A call succeeded; its outputs are a JSON object."""

    at: int
    key: str
    outputs: JSONObject


class CallFailed(NamedTuple):
    """A call failed; the error is a text for users."""

    at: int
    key: str
    error: str


class Cancel(NamedTuple):
    """A client canceled the task; the reason may be empty."""

    at: int
    reason: str


class TimeOut(NamedTuple):
    """The task ran longer than its time-out (the limit, in microseconds)."""

    at: int
    limit: int

    @property
    def error(self) -> str:
        """What it means, for users."""
        return f"Task timed out after {self.limit / 1e6:g} s"


class Fail(NamedTuple):
    """The host ends the task as FAILED: it cannot let it go on. The error is a text for users."""

    at: int
    error: str


Activation = Queue | Start | CallSucceeded | CallFailed | Cancel | TimeOut | Fail

_KINDS: dict[str, type[Activation]] = {
    "queue": Queue,
    "start": Start,
    "succeeded": CallSucceeded,
    "failed": CallFailed,
    "cancel": Cancel,
    "timeout": TimeOut,
    "fail": Fail,
}
# A value that is as deep as any may be comes in the outputs, and these in the list of fields.
_MAX_DEPTH = json_text.MAX_DEPTH + 2
_NAMES = {kind: name for name, kind in _KINDS.items()}


def to_json(activation: Activation) -> str:
    """The activation as JSON text: its kind, then its fields in order, without those at the end that are None."""
    fields: tuple[object, ...] = activation
    while fields[-1] is None:
        fields = fields[:-1]
    return json_text.dumps([_NAMES[type(activation)], *fields])


def from_json(text: str) -> Activation:
    """The activation that `to_json` wrote as this text. Raises `ProtocolError` for any other text."""
    try:
        recorded = json_text.loads(text, max_depth=_MAX_DEPTH, max_members=None)
        if isinstance(recorded, list):
            name, *fields = recorded
            activation = _KINDS[str(name)](*fields)
            if _is_well_formed(activation, fields[-1:]):
                return activation
    except (ValueError, TypeError, LookupError) as error:
        raise ProtocolError("not a recorded activation") from error
    raise ProtocolError("not a recorded activation")


def _is_well_formed(activation: Activation, last: list[object]) -> bool:
    """Whether the fields, of which the last one is given, are of their kinds."""
    fields: tuple[object, ...] = activation
    if isinstance(activation, Queue | Start):
        return last != [None] and isinstance(fields[1], dict | None) and isinstance(fields[2], str | None)
    return not isinstance(activation, CallSucceeded) or isinstance(fields[-1], dict)
