"""The task service: what a host offers, and what a server, of whatever kind, is a thin layer over."""

import hashlib
from collections.abc import AsyncGenerator, Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.json_text import dumps


class TaskRequest(NamedTuple):
    """What somebody wants to have run.

    Attributes:
        schema: The text of the workflow schema.
        inputs: JSON text of the inputs; empty means `{}`.
        request_id: Makes a retry safe; empty for none.
        timeout: How long the task may run, in microseconds; None for the default.
        labels: Free labels to find it by.
    """

    schema: str
    inputs: str = ""
    request_id: str = ""
    timeout: int | None = None
    labels: Mapping[str, str] = MappingProxyType({})

    def content_hash(self) -> bytes:
        """Says whether two requests ask for the same."""
        content = dumps([self.schema, self.inputs, self.timeout, sorted(self.labels.items())])
        return hashlib.sha256(content.encode()).digest()


class Heartbeat:
    """Given to a watcher when nothing else was for a while."""


class TaskService(Protocol):
    """Runs, shows, cancels and remembers tasks.

    Every method may raise an error that asks to come back later: `ShuttingDown`, or `JournalUnavailable` where the store of
    the tasks cannot be used at the moment. Errors that are about the request are listed with each.
    """

    @property
    def runtime(self) -> str:
        """The kind of host, as ServerInfo names it: `embedded`, `temporal`."""
        ...

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types that workflows may use, in alphabetical order."""
        ...

    async def time_slice(self) -> None:
        """Returns when it is the caller's turn: for work of some milliseconds that many may want to do at once."""
        ...

    async def run(self, request: TaskRequest) -> TaskRecord:
        """Accepts a task and starts it, or lets it wait for its turn; returns once it is durable.

        The record is of that moment: a small workflow may have ended in it. It may lack the inputs.

        Raises:
            InvalidWorkflow: The schema or the inputs are not valid.
            RequestConflict: The request id was used before with a different request.
            TooManyTasks: Too many tasks run and wait already.
        """
        ...

    async def validate(self, schema: str, inputs: str) -> tuple[Problem, ...]:
        """All problems of a schema, or, if it has none, of the inputs."""
        ...

    async def task(self, task_id: str) -> TaskRecord:
        """The task as it is now, with its inputs. Raises `TaskNotFound`."""
        ...

    async def wait(self, task_id: str) -> TaskRecord:
        """The task once it has terminated; its record may lack the inputs. Raises `TaskNotFound`."""
        ...

    async def cancel(self, task_id: str, reason: str) -> bool:
        """Stops a task, and returns when it has ended.

        True if this call did it, False if the task had ended, or another call stopped it. Raises `TaskNotFound`.
        """
        ...

    async def tasks(
        self, *, limit: int, before: int | None, statuses: frozenset[int], labels: Mapping[str, str]
    ) -> list[TaskRecord]:
        """A page of tasks, newest first: those with an `order` below `before` that fit."""
        ...

    async def schema(self, task_id: str) -> str:
        """The schema of a task. Raises `TaskNotFound`."""
        ...

    def log(self, task_id: str) -> AsyncGenerator[Batch, None]:
        """All batches of a task that are durable now, read as they are taken. Raises `TaskNotFound`."""
        ...

    def watch(
        self, task_id: str, after_sequence: int, *, deltas: bool = False, heartbeat: float | None = None
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        """The log of a task after a sequence, then live, until the task has terminated.

        Args:
            task_id: The task.
            after_sequence: The last event that the watcher has seen; the first batch may begin before it. Batches that
                are there already come joined, up to a bounded size.
            deltas: Whether to give pieces of outputs as they arrive.
            heartbeat: Give a heartbeat after so many seconds without anything else.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            SequenceOutOfRange: The log does not go so far.
        """
        ...

    async def drain(self, grace: float) -> None:
        """Takes no new tasks, lets those that run here end within so many seconds, and ends all watches."""
        ...
