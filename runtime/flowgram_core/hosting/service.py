"""The task service: the interface of every host; a server is a thin layer over it."""

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, Protocol

from flowgram_core.concurrency.offload import LARGE
from flowgram_core.hosting.live_log import OutputDelta
from flowgram_core.hosting.observation import HostStatistics
from flowgram_core.hosting.program_cache import Validation
from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.modeling.json_text import encode, writing_in_pieces


class TaskRequest:
    """A request to run a workflow.

    Attributes:
        schema: The text of the workflow schema.
        inputs: JSON text of the inputs; empty means `{}`.
        request_id: Makes a retry safe; empty for none.
        timeout: How long the task may run, in microseconds; None for the default.
        labels: Labels of the caller, to find it by.
        display_name: A name for people; may be empty.
        namespace: Whose the task is to be.
    """

    __slots__ = ("display_name", "inputs", "labels", "namespace", "request_id", "schema", "timeout")

    def __init__(
        self,
        schema: str,
        inputs: str = "",
        request_id: str = "",
        timeout: int | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
        display_name: str = "",
        namespace: str = DEFAULT_NAMESPACE,
    ) -> None:
        self.schema = schema
        self.inputs = inputs
        self.request_id = request_id
        self.timeout = timeout
        self.labels = labels
        self.display_name = display_name
        self.namespace = namespace

    @property
    def is_large(self) -> bool:
        """Whether to go over all of it takes more than some milliseconds, and belongs into a thread."""
        return len(self.schema) + len(self.inputs) > LARGE

    def content_hash(self) -> bytes:
        """Equal for requests with the same content. Request ids are compared within a namespace, which is no part of it."""
        if self.is_large:
            with writing_in_pieces():
                return self._content_hash()
        return self._content_hash()

    def _content_hash(self) -> bytes:
        content = [self.inputs, self.timeout, sorted(self.labels.items()) if self.labels else []]
        if self.display_name:  # requests of older versions have none, and keep their hash
            content.append(self.display_name)
        # The SHA-256 of a JSON array that begins with the schema: most of it is the same for many tasks.
        begun = _remembered_beginning if len(self.schema) <= _REMEMBERED_SCHEMA else _beginning
        digest = begun(self.schema).copy()
        digest.update(encode(content)[1:])
        return digest.digest()


_REMEMBERED_SCHEMA: Final = 64 * 1024
"""Characters of a schema of which the beginning of the hash is remembered."""


def _beginning(schema: str) -> "hashlib._Hash":
    """The hash of a request's content up to and with the schema."""
    return hashlib.sha256(encode([schema])[:-1] + b",")


_remembered_beginning = lru_cache(maxsize=64)(_beginning)


class Heartbeat:
    """Yielded to a watcher after a time without anything else."""


class TaskService(Protocol):
    """Runs, shows, cancels and stores tasks.

    Tasks are reached in their own namespace only: in any other there is no such task.

    Every method may raise an error that asks the client to retry later: `ShuttingDown`, or `JournalUnavailable` if the store
    cannot be used at the moment. Errors about the request are listed with each method.
    """

    @property
    def runtime(self) -> str:
        """The kind of host, as ServerInfo names it: `embedded`, `temporal`."""
        ...

    @property
    def node_types(self) -> tuple[str, ...]:
        """The node types that workflows may use, in alphabetical order."""
        ...

    @property
    def signing_keys(self) -> Sequence[bytes]:
        """Secrets to sign what clients bring back, such as page tokens: the first signs, and all are accepted.

        The same for every server of these tasks, also after a restart.
        """
        ...

    async def time_slice(self) -> None:
        """Waits for a time slice of the event loop: for work of some milliseconds that many callers may do at once."""
        ...

    def statistics(self) -> HostStatistics:
        """What this host does at the moment, as far as it knows without asking anybody. For metrics."""
        ...

    async def check(self) -> None:
        """Returns where tasks can be run and shown at the moment; else raises `JournalUnavailable`. For health checks."""
        ...

    async def run(self, request: TaskRequest) -> TaskRecord:
        """Accepts a task and starts or queues it; returns once it is durable.

        The record is of that moment: a small workflow may have ended in it. It may lack the inputs.

        Raises:
            InvalidWorkflow: The schema or the inputs are not valid.
            RequestConflict: The request id was used before with a different request.
            TooManyTasks: Too many tasks are running and waiting already.
            StorageFull: The store of tasks has reached its limits.
            QuotaExceeded: The namespace has reached a limit of its own.
        """
        ...

    async def run_many(self, requests: Sequence[TaskRequest]) -> list[TaskRecord | Exception]:
        """Accepts several tasks together, as `run` does each: its record, or the error that `run` would raise."""
        ...

    async def validate(self, schema: str, inputs: str) -> Validation:
        """All problems of a schema, or, if it has none, of the inputs; and warnings about a valid schema."""
        ...

    async def task(self, task_id: str, *, namespace: str) -> TaskRecord:
        """The task as it is now, with its inputs. Raises `TaskNotFound`."""
        ...

    async def wait(self, task_id: str, *, namespace: str) -> TaskRecord:
        """The task once it has terminated; its record may lack the inputs. Raises `TaskNotFound`."""
        ...

    async def cancel(self, task_id: str, reason: str, *, namespace: str) -> bool:
        """Stops a task, and returns when it has ended.

        True if this call did it, False if the task had ended, or another call stopped it. Raises `TaskNotFound`.
        """
        ...

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str,
    ) -> list[TaskRecord]:
        """A page of a namespace's tasks, newest first: those with an `order` below `before` that match."""
        ...

    async def schema(self, task_id: str, *, namespace: str) -> str:
        """The schema of a task. Raises `TaskNotFound`."""
        ...

    def log(self, task_id: str, *, namespace: str) -> AsyncGenerator[Batch, None]:
        """All durable batches of a task, read from the journal as they are consumed. Raises `TaskNotFound`."""
        ...

    def watch(
        self,
        task_id: str,
        after_sequence: int,
        *,
        namespace: str,
        deltas: bool = False,
        heartbeat: float | None = None,
    ) -> AsyncGenerator[Batch | OutputDelta | Heartbeat, None]:
        """The log of a task after a sequence, then live, until the task has terminated.

        Args:
            task_id: The task.
            after_sequence: The last event that the watcher has seen; the first batch may begin before it. Batches that
                exist already are joined, up to a bounded size.
            namespace: Whose it is.
            deltas: Whether to yield pieces of outputs as they arrive.
            heartbeat: Yield a heartbeat after so many seconds without anything else.

        Raises:
            TaskNotFound: There is no such task, or it has been removed.
            SequenceOutOfRange: The log ends before that sequence.
        """
        ...

    def watch_tasks(
        self, wanted: TaskFilter, *, heartbeat: float | None = None
    ) -> AsyncGenerator[TaskChanges, None]:
        """The tasks of a filter as they change, from now on, without an end.

        The first item is empty: a list of the tasks that is read after it, and merged with the changes by
        `last_sequence`, misses nothing. A task that no longer fits the filter is given once more, as it is now.

        Args:
            wanted: Which tasks.
            heartbeat: Give empty changes after so many seconds without any.

        Raises:
            WatcherBehind: The watcher reads too slowly, and missed changes.
        """
        ...

    async def drain(self, grace: float) -> None:
        """Accepts no new tasks, gives those that run here so many seconds to end, and ends all watches."""
        ...
