"""What the scenarios know of a client: the calls that every client has, in Python's terms.

JSON documents go in as texts and come out as values read from texts, so that a digit that a client loses is missed.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Event:
    """An event of a watch.

    Attributes:
        sequence: 0 for a delta.
        kind: task, node, message or delta.
        status: SUCCEEDED and so on; of a task or a node.
        node_id: Of a node, a message or a delta.
        text: Of a message or a delta.
        inputs: Of a node; None if it carries none.
        outputs: Of a task or a node; None if it carries none.
    """

    sequence: int
    kind: str
    status: str = ""
    node_id: str = ""
    text: str = ""
    inputs: Any = None
    outputs: Any = None


@dataclass(frozen=True)
class Result:
    """The outcome of a task."""

    task_id: str
    status: str
    outputs: Any
    errors: Sequence[str]


@dataclass(frozen=True)
class Report:
    """What is known about a task."""

    task_id: str
    status: str
    inputs: Any
    outputs: Any
    nodes: Sequence[str]
    messages: Sequence[str]
    last_sequence: int


@dataclass(frozen=True)
class Checked:
    """What a check of a workflow found: places and texts."""

    violations: Sequence[tuple[str, str]]
    warnings: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Task:
    """What a task is."""

    task_id: str
    status: str
    name: str
    labels: Mapping[str, str]
    schema: Any
    inputs: Any


@dataclass(frozen=True)
class Outcome:
    """What became of a run of a batch: a result, or the reason why it was refused."""

    key: str
    result: Result | None
    refusal: str


class CallFailed(Exception):
    """A call failed.

    Attributes:
        kind: What the client's language calls it: canceled, deadline_exceeded, invalid_workflow, invalid_argument,
            task_not_found, already_exists, sequence_out_of_range, resource_exhausted, unavailable or other.
        reason: The service's reason; empty where the transport failed.
        descriptions: What is wrong with the request, without the places.
    """

    def __init__(self, kind: str, message: str, reason: str = "", descriptions: Sequence[str] = ()) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.reason = reason
        self.descriptions = tuple(descriptions)


class Client(Protocol):
    """A client of one server, in whatever language. Failed calls raise CallFailed."""

    has_deadlines: bool
    """Whether a caller can bound a call; a gateway has bounds of its own."""
    is_gateway: bool
    """Whether it is FlowGram's REST API, which has no views, no reasons of cancellations, and inputs that are objects."""

    async def run(
        self,
        schema: str,
        inputs: str = "",
        *,
        request_id: str = "",
        labels: Mapping[str, str] | None = None,
        name: str = "",
        deadline: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> str: ...

    async def run_and_wait(
        self, schema: str, inputs: str = "", *, deadline: float | None = None
    ) -> Result: ...

    async def result(self, task_id: str) -> Result: ...

    async def wait(self, task_id: str, *, deadline: float | None = None) -> Result: ...

    async def report(self, task_id: str, *, basic: bool = False) -> Report: ...

    async def cancel(self, task_id: str, reason: str = "") -> bool: ...

    async def validate(self, schema: str, inputs: str = "") -> Checked: ...

    async def get(self, task_id: str) -> Task: ...

    async def run_batch(self, schema: str, runs: Sequence[tuple[str, str]]) -> Sequence[Outcome]:
        """Runs a workflow for each pair of a key and inputs; the outcomes as they come."""
        ...

    def watch_tasks(
        self, labels: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AsyncIterator[tuple[str, str]]]:
        """The ids and statuses of tasks with these labels: those that there are, then each one that changes."""
        ...

    async def list(
        self, *, statuses: Sequence[int] = (), labels: Mapping[str, str] | None = None, page_size: int = 0
    ) -> Sequence[str]: ...

    async def info(self) -> Mapping[str, Any]: ...

    def watch(
        self, task_id: str, *, after: int = 0, basic: bool = False, deadline: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """The events of a task; leaving the block ends the watch. An event is read only when it is asked for."""
        ...
