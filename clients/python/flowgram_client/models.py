"""The data of the service, as plain values: times are aware datetimes in UTC, JSON objects are dicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from ._json import JSONObject
from .errors import RequestError, TaskCanceledError, TaskFailedError, TaskUnfinishedError, Violation
from .messages import Message


class Status(IntEnum):
    """The status of a task, or of one run of a node. The numbers are the contract's."""

    UNSPECIFIED = 0
    PENDING = 1
    PROCESSING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELED = 5

    @classmethod
    def _missing_(cls, value: object) -> "Status":  # noqa: ARG003 - one that came after this version
        return cls.UNSPECIFIED

    @property
    def terminated(self) -> bool:
        """Whether nothing more will happen."""
        return self in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)

    def __str__(self) -> str:
        return self.name.lower()


class View(IntEnum):
    """How much of a task to receive: BASIC leaves the JSON of inputs and outputs out."""

    BASIC = 1
    FULL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusInfo:
    """A status and its times."""

    status: Status
    start_time: datetime | None = None
    """None until it has started."""
    end_time: datetime | None = None
    """None until it has ended."""
    time_cost: timedelta | None = None
    """How long it took, or has taken so far."""

    @property
    def terminated(self) -> bool:
        """Whether nothing more will happen."""
        return self.status.terminated


@dataclass(frozen=True, slots=True)
class Iteration:
    """One run of a loop's block: the loop node, and the index of the item (from 0)."""

    loop_node_id: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What one run of one node saw and did. None and empty are what is not (yet) known."""

    id: str
    node_id: str
    iterations: tuple[Iteration, ...] = ()
    """The loops around the node, outermost first."""
    inputs: JSONObject | None = None
    outputs: JSONObject | None = None
    data: JSONObject | None = None
    """The node's own data from the schema: in reports only."""
    branch: str = ""
    """The output port that was taken, for nodes that branch."""
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport(StatusInfo):
    """All runs of one node."""

    node_id: str
    snapshots: tuple[Snapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(StatusInfo):
    """Everything known about a task at one moment."""

    task_id: str
    inputs: JSONObject | None = None
    outputs: JSONObject | None = None
    nodes: dict[str, NodeReport] = field(default_factory=dict)
    """By node id, in the order in which the nodes first started."""
    messages: tuple[Message, ...] = ()
    last_sequence: int = 0
    """Watch after it to go on from here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(StatusInfo):
    """The outcome of a task, or that it has none yet."""

    task_id: str
    outputs_or_none: JSONObject | None = None
    """The outputs; None unless the task succeeded."""
    errors: tuple[Message, ...] = ()
    """Why the task failed: its error messages, in order."""

    @property
    def succeeded(self) -> bool:
        """Whether there are outputs."""
        return self.status is Status.SUCCEEDED

    @property
    def outputs(self) -> JSONObject:
        """The outputs of a task that succeeded.

        Raises:
            TaskFailedError: it failed.
            TaskCanceledError: it was canceled.
            TaskUnfinishedError: it goes on.
        """
        if self.status is Status.SUCCEEDED:
            return self.outputs_or_none if self.outputs_or_none is not None else {}
        if self.status is Status.FAILED:
            why = "; ".join(message.text for message in self.errors) or "no reason given"
            raise TaskFailedError(f"task {self.task_id} failed: {why}", self.task_id, self.errors)
        if self.status is Status.CANCELED:
            raise TaskCanceledError(f"task {self.task_id} was canceled", self.task_id, self.errors)
        raise TaskUnfinishedError(f"task {self.task_id} is {self.status}", self.task_id)


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A row of a batch that has an id of its own."""

    inputs: Mapping[str, Any] | str | None
    """The inputs, as `run` takes them."""
    row_id: str
    """Makes its request id, together with the batch's; at most some 200 characters."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of one row of a batch."""

    index: int
    """The index of the row among the rows given, from 0."""
    row_id: str
    """The id of the row: its own, or its index."""
    result: Result | None
    """The outcome of its task; None if the row was refused."""
    error: RequestError | None
    """Why the row was refused; None if it ran."""

    @property
    def outputs(self) -> JSONObject:
        """The outputs of the row's task.

        Raises:
            RequestError: the row was refused, as `run` would have refused it.
            OutcomeError: its task did not succeed; see `Result.outputs`.
        """
        if self.result is None:
            raise self.error or AssertionError("neither result nor error")
        return self.result.outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary(StatusInfo):
    """One line of a list of tasks."""

    task_id: str
    create_time: datetime | None = None
    labels: dict[str, str] = field(default_factory=dict)
    display_name: str = ""
    """Its name for people; may be empty."""
    namespace: str = ""
    """The namespace that it belongs to; empty if the server has none."""
    last_sequence: int = 0
    """The sequence of its last event; 0 if there is none, or the server does not say."""


@dataclass(frozen=True, slots=True)
class TaskRemoved:
    """A watched task is no longer there, because its retention has passed.

    After a reconnection also: it no longer fits the filter.
    """

    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(TaskSummary):
    """Everything known about a task but its events and outcome. Secrets are masked."""

    schema: JSONObject | None = None
    inputs: JSONObject | None = None
    timeout: timedelta | None = None
    """The task fails when it has run for this long; None: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What a check of a workflow and its inputs found."""

    violations: tuple[Violation, ...] = ()
    """All that is wrong with the schema, or, if nothing is, with the inputs. Empty: `run` would accept them."""
    warnings: tuple[Violation, ...] = ()
    """What does not keep the workflow from running, and is probably not meant."""

    @property
    def valid(self) -> bool:
        """Whether `run` would accept them."""
        return not self.violations


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Bounds of what a server takes, in bytes; 0: a server that does not say."""

    max_message_bytes: int = 0
    """No message is larger, in either direction."""
    max_schema_bytes: int = 0
    max_inputs_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls a server that asks for credentials."""

    name: str
    """Its name in the server's logs, such as `key:ID`."""
    namespace: str
    role: str
    """`reader`, `runner` or `admin`; take one that you do not know for `reader`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """Name, version and capabilities of a server."""

    name: str
    title: str = ""
    description: str = ""
    runtime: str = ""
    version: str = ""
    time: datetime | None = None
    """The server's clock."""
    node_types: tuple[str, ...] = ()
    """The node types that it can execute."""
    features: tuple[str, ...] = ()
    """What it offers beyond this service: `auth`, `console`, `temporal` and others."""
    limits: ServerLimits = ServerLimits()
    """The bounds of what it takes."""
    caller: Caller | None = None
    """Who calls; None where the server asks for no credentials, or got none."""
