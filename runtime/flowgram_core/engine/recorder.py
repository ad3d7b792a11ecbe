"""The recorder: the only place that numbers the events of a task; keeps them until the host takes them."""

from typing import TYPE_CHECKING, Any

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.events import (
    Event,
    MessageLogged,
    MessageType,
    NodeStatusChanged,
    TaskStatusChanged,
)
from flowgram_core.engine.plan import Step
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import size_of, too_large
from flowgram_core.modeling.small_sizes import small_size_of
from flowgram_core.modeling.status import PROCESSING, SUCCEEDED, Status

if TYPE_CHECKING:
    from flowgram_core.engine.frame import Frame


class Recorder:
    """Records the events of one task.

    Args:
        max_snapshot_bytes: As in the limits.
        meter: Counts the work and the memory of the task; None: a new one, without a limit.

    Attributes:
        sequence: The number of the last event.
        at: The time of what happens now, in microseconds since the epoch.
        start_time: When the task began to run; 0 if it has not.
        errors: The error messages, in order.
        size: About how many bytes the events that were not taken yet will be, but for what each event has; and the texts
            that were made meanwhile.
        meter: See the arguments.
    """

    __slots__ = (
        "_end_time", "_events", "_max_snapshot", "_texts", "_undo", "_undo_sequence", "at", "errors", "meter", "sequence", "size",
        "start_time",
    )  # fmt: skip

    def __init__(self, max_snapshot_bytes: int, meter: Meter | None = None) -> None:
        self.meter = meter or Meter()
        self._undo: list[tuple[dict[str, Any], str, Any]] = []
        self._undo_sequence = -1
        self.sequence = 0
        self.at = 0
        self._end_time: int | None = (
            0  # the same for events that have one or none: an object that is made once
        )
        self.start_time = 0
        self.errors: list[MessageLogged] = []
        self.size = 0
        self._max_snapshot = max_snapshot_bytes
        self._texts = 0
        self._events: list[Event] = []

    @property
    def texts(self) -> int:
        """The bytes of the texts that the present node run has made."""
        return self._texts

    @property
    def is_taken(self) -> bool:
        """Whether all events have been taken."""
        return not self._events

    def restore(
        self, *, sequence: int, at: int, start_time: int, texts: int, errors: list[MessageLogged]
    ) -> None:
        """Goes on from where another recorder was when all its events had been taken."""
        self.sequence = sequence
        self.at = self._end_time = at
        self.start_time = start_time
        self.errors = errors
        self._texts = texts

    def move_on(self, at: int) -> None:
        """Lets the time move on. It never goes back: what came earlier and is applied now happens now."""
        if at > self.at:
            self.at = self._end_time = at

    def take(self) -> list[Event]:
        """The events since the last time."""
        events, self._events = self._events, []
        self.size = 0
        self._undo.clear()
        return events

    def shown(self, values: JSONObject) -> JSONObject:
        """Checks the size of the inputs or outputs of the next event. Raises `NodeError` where they are too large."""
        limit = self._max_snapshot
        size = small_size_of(values)
        if size < 0:
            size = size_of(values, limit, self.meter)
        if size > limit:
            raise NodeError(too_large(limit))
        self.size += size
        return values

    def spend(self, size: int) -> int:
        """See `Scope.spend`."""
        self._texts += size
        self.size += size
        left = self._max_snapshot - self._texts
        if left < 0:
            raise BindingError(too_large(self._max_snapshot))
        return left

    def will_set(self, variables: dict[str, Any], key: str, before: Any) -> None:
        """Keeps what undoes the setting of a variable, until the present node run records its first event.

        Args:
            variables: Where it is about to be set.
            key: Its key there.
            before: What is there now; None for nothing.
        """
        if self._undo_sequence != self.sequence:
            self._undo_sequence = self.sequence
            self._undo.clear()
        self._undo.append((variables, key, before))

    def roll_back(self) -> None:
        """Undoes what a node run has done before it was suspended. It has recorded no events yet."""
        self._texts = 0
        if self._undo_sequence != self.sequence:
            return
        while self._undo:
            variables, key, before = self._undo.pop()
            if before is None:
                del variables[key]
            else:
                variables[key] = before

    def task(self, status: Status, outputs: JSONObject | None = None) -> None:
        """The task moved to a status."""
        self.sequence = sequence = self.sequence + 1
        at = self.at
        end_time = self._end_time if status is SUCCEEDED or status > SUCCEEDED else None
        self._events.append(TaskStatusChanged(sequence, at, status, self.start_time, end_time, outputs))

    def started(self, frame: "Frame", step: Step, inputs: JSONObject) -> None:
        """A node run began that takes time. The text budget starts anew for the next run."""
        self._texts = 0
        self.sequence += 1
        at = self.at
        self._events.append(
            NodeStatusChanged(
                self.sequence,
                at,
                step.id,
                PROCESSING,
                at,
                None,
                step.key,
                frame.iterations,
                inputs,
                None,
                "",
                "",
                frame.key_prefix,
            )
        )

    def ended(
        self,
        status: Status,
        frame: "Frame",
        step: Step,
        started_at: int,
        inputs: JSONObject | None = None,
        outputs: JSONObject | None = None,
        branch: str = "",
        error: str = "",
    ) -> None:
        """A node run ended; `inputs` are None if its start event has them. The text budget starts anew, as in `started`."""
        self._texts = 0
        self.sequence = sequence = self.sequence + 1
        at = self.at
        self._events.append(
            NodeStatusChanged(
                sequence,
                at,
                step.id,
                status,
                started_at,
                self._end_time,
                step.key,
                frame.iterations,
                inputs,
                outputs,
                branch,
                error,
                frame.key_prefix,
            )
        )

    def message(self, kind: MessageType, text: str, node_id: str = "") -> None:
        """Logs a message of the task."""
        self.sequence += 1
        message = MessageLogged(self.sequence, self.at, f"message_{self.sequence}", kind, text, node_id)
        self._events.append(message)
        if kind is MessageType.ERROR:
            self.errors.append(message)
