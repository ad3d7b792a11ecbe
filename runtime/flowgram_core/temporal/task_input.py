"""The input of a task's workflow: what was asked for, and the settings that shape its history.

Everything that decides which commands a history has is pinned here when the task is accepted: a replay under other settings
has to do the same again.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from flowgram_core.engine.activations import Activation, from_json, to_json
from flowgram_core.engine.limits import UNLIMITED
from flowgram_core.modeling.json_text import JSONObject, JSONValue, dumps, encode, loads
from flowgram_core.temporal.errors import PayloadUnreadable

_VERSION: Final = 1


class Shape(NamedTuple):
    """Settings that shape the history of a task.

    Attributes:
        step_budget: Node runs of one step.
        step_bytes: Bytes of its events.
        carried_bytes: A record may be carried by a call up to this size.
        task_bytes: So much is sent in one workflow task.
        history_events: From so many events on the task goes on in a new run.
        parallel_calls: So many calls of one task are made at once.
        heartbeat_timeout: Of a call, in milliseconds.
        step_work: Work of one step; see `flowgram_core.modeling.meter`.
        continued_bytes: A new run of the workflow is begun with at most so many bytes.
        max_history_events: A task that cannot go on in a new run fails with so many events of its history,
        max_history_bytes: or so many bytes.
    """

    step_budget: int = 1000
    step_bytes: int = 256 * 1024
    carried_bytes: int = 64 * 1024
    task_bytes: int = 1024 * 1024
    history_events: int = 2_000
    parallel_calls: int = 500
    heartbeat_timeout: int = 5_000
    step_work: int = UNLIMITED
    continued_bytes: int = UNLIMITED
    max_history_events: int = UNLIMITED
    max_history_bytes: int = UNLIMITED


class TaskInput(NamedTuple):
    """A task as it was accepted.

    Attributes:
        schema: The schema's text.
        inputs: JSON text of the inputs.
        timeout: How long it may run, in microseconds; None for no limit.
        labels: Free labels.
        create_time: When it was accepted, in microseconds since the epoch.
        pins: The settings that are pinned to it; see `PinnedSettings`.
        shape: Those that shape its history.
        display_name: A name for people; may be empty.
        trace: The trace that it is a part of, for observers; None: of none.
    """

    schema: str
    inputs: str
    timeout: int | None
    labels: Mapping[str, str]
    create_time: int
    pins: JSONObject | None
    shape: Shape
    display_name: str = ""
    trace: str | None = None

    def encode(self) -> bytes:
        """The input as the history holds it."""
        fields = {
            "version": _VERSION,
            **self._asdict(),
            "labels": dict(self.labels),
            "shape": self.shape._asdict(),
        }
        if self.trace is None:
            del fields["trace"]  # workers of earlier releases do not know it
        return encode(fields)

    @classmethod
    def decode(cls, data: bytes) -> "TaskInput":
        """What `encode` gave, in this or an earlier release. Raises `PayloadUnreadable` for anything else."""
        try:
            fields = _object(data, _read)
            shape = Shape(**fields.pop("shape"))
            return cls(**fields, shape=shape)
        except (TypeError, KeyError, ValueError) as error:
            raise PayloadUnreadable("not the input of a task") from error


class Continuation(NamedTuple):
    """From where a task goes on in a new run of its workflow.

    Attributes:
        snapshot: Of the execution.
        inbox: Outcomes that have come and were not applied yet.
        interrupt: A cancel or time-out that has come.
    """

    snapshot: JSONObject
    inbox: tuple[Activation, ...]
    interrupt: Activation | None

    def encode(self) -> bytes:
        """The state as the history holds it."""
        return encode(
            {
                "version": _VERSION,
                "snapshot": self.snapshot,
                "inbox": [to_json(given) for given in self.inbox],
                "interrupt": None if self.interrupt is None else to_json(self.interrupt),
            }
        )

    @classmethod
    def decode(cls, data: bytes) -> "Continuation":
        """What `encode` gave, in this or an earlier release. Raises `PayloadUnreadable` for anything else."""
        try:
            fields = _object(data)
            interrupt = fields["interrupt"]
            return cls(
                fields["snapshot"],
                tuple(from_json(text) for text in fields["inbox"]),
                None if interrupt is None else from_json(interrupt),
            )
        except (TypeError, KeyError, ValueError) as error:
            raise PayloadUnreadable("not the state of a task") from error


class Position(NamedTuple):
    """Where the log stands when a run of the workflow begins: it is read without the runs before.

    Attributes:
        sequence: The number of the last event before.
        start_time: When the task began to run; 0 if it has not.
    """

    sequence: int = 0
    start_time: int = 0

    def encode(self) -> bytes:
        """The position as the history holds it."""
        return dumps(list(self)).encode()

    @classmethod
    def decode(cls, data: bytes) -> "Position":
        """What `encode` gave. Raises `PayloadUnreadable` for anything else."""
        try:
            found: Any = loads(data)
            sequence, start_time = found
            return cls(int(sequence), int(start_time))
        except (TypeError, ValueError) as error:
            raise PayloadUnreadable("not a position in a log") from error


def _read(data: bytes) -> JSONValue:
    """Reads a task's input: its numbers have 64 bits, some of them all, which `loads` takes its time for."""
    try:
        return orjson.loads(data)  # type: ignore[no-any-return]  # it is JSON
    except orjson.JSONDecodeError:  # half a surrogate pair, or no JSON at all
        return loads(data)


def _object(data: bytes, read: Callable[[bytes], JSONValue] = loads) -> JSONObject:
    """The fields of a JSON object of this version, without the version."""
    # The snapshot has values of any depth, each beside the others; JSON's own nesting stays small.
    found = read(data)
    if not isinstance(found, dict):
        raise TypeError("no JSON object")
    version = found.pop("version", None)
    if version != _VERSION:
        raise PayloadUnreadable(f"written by another release, in version {version} of its format")
    return found
