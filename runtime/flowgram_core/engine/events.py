"""Events: what happened in a task, numbered 1, 2, 3 … by the core. They make up the task's log.

Those of which every node run makes one are plain classes: compiled, they are made and read at a fraction of a NamedTuple's cost.
They hold JSON values, which never lead back to them: the garbage collector need not look at them.
"""

from enum import IntEnum
from typing import Final, NamedTuple, final

from mypy_extensions import mypyc_attr

from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.status import Status

Iterations = tuple[tuple[str, int], ...]
"""The loop iterations around a node run, outermost first: (loop node id, index of the item)."""


class MessageType(IntEnum):
    """Kinds of messages. The numbers are those of the contract."""

    LOG = 1
    INFO = 2
    DEBUG = 3
    WARNING = 4
    ERROR = 5


_TASK_FIELDS: Final = ("sequence", "at", "status", "start_time", "end_time", "outputs")
_NODE_FIELDS: Final = (
    "sequence", "at", "node_id", "status", "start_time", "end_time", "snapshot_id", "iterations", "inputs", "outputs",
    "branch", "error",
)  # fmt: skip


@final
@mypyc_attr(acyclic=True)
class TaskStatusChanged:
    """The task moved to another status.

    Attributes:
        sequence: The number of this event in its task.
        at: When it happened, in microseconds since the epoch, as for all times here.
        status: The new status.
        start_time: When the task began to run; 0 if it has not.
        end_time: When it ended, or None.
        outputs: With SUCCEEDED, the task's outputs.
    """

    __slots__ = ("at", "end_time", "outputs", "sequence", "start_time", "status")

    def __init__(
        self,
        sequence: int,
        at: int,
        status: Status,
        start_time: int,
        end_time: int | None,
        outputs: JSONObject | None,
    ) -> None:
        self.sequence = sequence
        self.at = at
        self.status = status
        self.start_time = start_time
        self.end_time = end_time
        self.outputs = outputs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskStatusChanged) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.sequence, self.at))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(_TASK_FIELDS, self._fields(), strict=True))
        return f"TaskStatusChanged({', '.join(shown)})"

    def _fields(self) -> tuple[object, ...]:
        return (
            self.sequence,
            self.at,
            self.status,
            self.start_time,
            self.end_time,
            self.outputs,
        )


@final
@mypyc_attr(acyclic=True)
class NodeStatusChanged:
    """A node started or ended one run. A run without I/O sends its end alone.

    Attributes:
        sequence: The number of this event in its task.
        at: When it happened.
        node_id: The node.
        status: The status of this run.
        start_time: When the run began.
        end_time: When it ended, or None.
        snapshot_id: The identity of the run: the same for its start and its end, unique in the task.
        iterations: The loop iterations around it.
        inputs: The node's inputs; None where an earlier event of the run carried them.
        outputs: The node's outputs, if it produced any.
        branch: The output port that was taken, for nodes that branch.
        error: Why it failed.
        key: The end of `snapshot_id`: what names the node in its graph.
        key_prefix: The beginning of it: what names the iteration, the same text for all of its events; empty outside of loops.
    """

    __slots__ = (
        "at",
        "branch",
        "end_time",
        "error",
        "inputs",
        "iterations",
        "key",
        "key_prefix",
        "node_id",
        "outputs",
        "sequence",
        "start_time",
        "status",
    )

    def __init__(
        self,
        sequence: int,
        at: int,
        node_id: str,
        status: Status,
        start_time: int,
        end_time: int | None,
        snapshot_id: str,
        iterations: Iterations,
        inputs: JSONObject | None,
        outputs: JSONObject | None,
        branch: str,
        error: str,
        key_prefix: str = "",
    ) -> None:
        self.sequence = sequence
        self.at = at
        self.node_id = node_id
        self.status = status
        self.start_time = start_time
        self.end_time = end_time
        self.key = snapshot_id  # with `key_prefix` before it
        self.iterations = iterations
        self.inputs = inputs
        self.outputs = outputs
        self.branch = branch
        self.error = error
        self.key_prefix = key_prefix

    @property
    def snapshot_id(self) -> str:
        """See `NodeStatusChanged`."""
        return self.key_prefix + self.key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeStatusChanged) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.sequence, self.at))

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in zip(_NODE_FIELDS, self._fields(), strict=True))
        return f"NodeStatusChanged({', '.join(shown)})"

    def _fields(self) -> tuple[object, ...]:
        return (
            self.sequence,
            self.at,
            self.node_id,
            self.status,
            self.start_time,
            self.end_time,
            self.snapshot_id,
            self.iterations,
            self.inputs,
            self.outputs,
            self.branch,
            self.error,
        )


class MessageLogged(NamedTuple):
    """A message of the task.

    Attributes:
        sequence: The number of this event in its task.
        at: When it was logged.
        id: Unique in the task.
        type: The kind of message.
        text: The text for users.
        node_id: The node that it is about, or empty.
    """

    sequence: int
    at: int
    id: str
    type: MessageType
    text: str
    node_id: str


Event = TaskStatusChanged | NodeStatusChanged | MessageLogged


@final
@mypyc_attr(acyclic=True)
class Finished:
    """How a task ended.

    Attributes:
        status: SUCCEEDED, FAILED or CANCELED.
        outputs: With SUCCEEDED, the outputs.
        errors: The error messages, in order.
        start_time: When it began to run, in microseconds since the epoch; 0 if it never did.
        end_time: When it ended.
    """

    __slots__ = ("end_time", "errors", "outputs", "start_time", "status")

    def __init__(
        self,
        status: Status,
        outputs: JSONObject | None,
        errors: tuple[MessageLogged, ...],
        start_time: int,
        end_time: int,
    ) -> None:
        self.status = status
        self.outputs = outputs
        self.errors = errors
        self.start_time = start_time
        self.end_time = end_time

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Finished) and self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.status, self.start_time, self.end_time))

    def __repr__(self) -> str:
        return f"Finished{self._fields()}"

    def _fields(self) -> tuple[object, ...]:
        return (self.status, self.outputs, self.errors, self.start_time, self.end_time)
