"""The journal's interface: the records that it stores, and the guarantees of every implementation.

All times are integers in microseconds since the epoch. Statuses are the numbers of the contract; the journal itself
gives a task PENDING (1) when it is accepted and PROCESSING (2) when it starts, and takes the final one from `Finish`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE
from flowgram_core.modeling.status import Status


class NewTask:
    """A task as requested.

    Attributes:
        task_id: Unique among all tasks. Ids that grow with time are cheaper to store than random ones.
        create_time: When it was accepted.
        schema_hash: SHA-256 of the schema's text in UTF-8; tasks with equal ones share one stored text.
        schema: The schema's text as it came.
        inputs: JSON text of the task's inputs as it came.
        request_id: Makes a retry safe; unique among the tasks of its namespace unless it is "".
        request_hash: Tells whether two requests with one `request_id` are the same.
        timeout: How long it may run, in microseconds; None: no limit.
        labels: Labels of the caller, to find it by.
        display_name: A name for people; may be empty.
        namespace: Whose it is.
    """

    __slots__ = (
        "create_time", "display_name", "inputs", "labels", "namespace", "request_hash", "request_id", "schema",
        "schema_hash", "task_id", "timeout",
    )  # fmt: skip

    def __init__(
        self,
        task_id: str,
        create_time: int,
        schema_hash: bytes,
        schema: str,
        inputs: str,
        request_id: str = "",
        request_hash: bytes = b"",
        timeout: int | None = None,
        labels: Mapping[str, str] = MappingProxyType({}),
        display_name: str = "",
        namespace: str = DEFAULT_NAMESPACE,
    ) -> None:
        self.task_id = task_id
        self.create_time = create_time
        self.schema_hash = schema_hash
        self.schema = schema
        self.inputs = inputs
        self.request_id = request_id
        self.request_hash = request_hash
        self.timeout = timeout
        self.labels = labels
        self.display_name = display_name
        self.namespace = namespace

    def record(self, order: int = 0) -> "TaskRecord":
        """The record of the task before its first step; `order` is known once it is stored."""
        # Not by `TaskRecord(...)`, as in `TaskRecord.moved`.
        return tuple.__new__(
            TaskRecord,
            (
                self.task_id,
                self.create_time,
                self.inputs,
                self.schema_hash,
                self.labels,
                self.timeout,
                Status.PENDING,
                None,  # not started
                None,  # not ended
                0,  # events
                None,  # no result
                order,
                self.request_hash,
                self.display_name,
                self.namespace,
            ),
        )


class Batch:
    """The events of one step of a task: one row of its log. Equal by its contents.

    Attributes:
        first_sequence: Number of the first event; the one before is the last of the batch before (0 in an empty log).
        last_sequence: Number of the last event.
        at: When the step happened.
        cause: JSON text of the activation that began the step; None if it only continued the previous one.
        events: The encoded events, opaque to the journal.
    """

    __slots__ = ("at", "cause", "events", "first_sequence", "last_sequence")

    def __init__(
        self, first_sequence: int, last_sequence: int, at: int, cause: str | None, events: bytes
    ) -> None:
        self.first_sequence = first_sequence
        self.last_sequence = last_sequence
        self.at = at
        self.cause = cause
        self.events = events

    @property
    def columns(self) -> tuple[int, int, int, str | None, bytes]:
        """All of it, in the order of the attributes."""
        return self.first_sequence, self.last_sequence, self.at, self.cause, self.events

    def __eq__(self, other: object) -> bool:
        """Whether the contents are the same."""
        return isinstance(other, Batch) and self.columns == other.columns

    def __hash__(self) -> int:
        """The hash of the contents."""
        return hash(self.columns)

    def __repr__(self) -> str:
        """The contents, as for a tuple."""
        return f"Batch{self.columns!r}"


class Finish:
    """How a task ended.

    Attributes:
        status: The final status: 3 SUCCEEDED, 4 FAILED or 5 CANCELED.
        end_time: When it ended.
        result: The encoded result, opaque to the journal.
    """

    __slots__ = ("end_time", "result", "status")

    def __init__(self, status: int, end_time: int, result: bytes) -> None:
        self.status = status
        self.end_time = end_time
        self.result = result


class Write:
    """A change of one task that becomes durable atomically.

    Attributes:
        task_id: The task.
        accept: Creates the task.
        batches: Appended to its log, in order and without a gap.
        started: The time at which the task left PENDING; given once.
        finish: Ends the task; nothing can be written about it any more.
    """

    __slots__ = ("accept", "batches", "finish", "started", "task_id")

    def __init__(
        self,
        task_id: str,
        accept: NewTask | None = None,
        batches: tuple[Batch, ...] = (),
        started: int | None = None,
        finish: Finish | None = None,
    ) -> None:
        self.task_id = task_id
        self.accept = accept
        self.batches = batches
        self.started = started
        self.finish = finish


class TaskRecord(NamedTuple):
    """What the journal knows of a task, without its log.

    Attributes:
        task_id: As in `NewTask`, like all that are not listed here.
        status: Its status, as a number of the contract.
        start_time: When it left PENDING, or None.
        end_time: When it ended, or None.
        last_sequence: Number of the last event in its log, 0 if the log is empty.
        result: The encoded result once it has ended.
        order: Grows from task to task in the order of acceptance.
    """

    task_id: str
    create_time: int
    inputs: str
    schema_hash: bytes
    labels: Mapping[str, str]
    timeout: int | None
    status: int
    start_time: int | None
    end_time: int | None
    last_sequence: int
    result: bytes | None
    order: int
    request_hash: bytes
    display_name: str
    namespace: str = DEFAULT_NAMESPACE

    @property
    def ended(self) -> bool:
        """Whether the task has reached its final status."""
        return self.end_time is not None

    def moved(
        self,
        status: int,
        start_time: int | None,
        end_time: int | None,
        last_sequence: int,
        result: bytes | None,
    ) -> "TaskRecord":
        """The record after a step of the task. Used instead of `_replace`, which takes five times as long."""
        changed = (status, start_time, end_time, last_sequence, result)
        return tuple.__new__(TaskRecord, self[:6] + changed + self[11:])


class RemovedTask(NamedTuple):
    """A task that is no longer there.

    Attributes:
        task_id: The task.
        namespace: Whose it was.
    """

    task_id: str
    namespace: str


class ServerSession(NamedTuple):
    """A period in which one server process ran on the journal.

    Attributes:
        began: When it began, by the clock of that time.
        alive: When it was last known to be alive.
    """

    began: int
    alive: int


class Usage(NamedTuple):
    """The space that a journal takes.

    Attributes:
        used_bytes: What it takes, without space that it keeps for its next writes.
        free_bytes: What is left on its disk; None if it is not on one.
        writable: Whether it can be written at all.
        by_namespace: What the inputs, events and results of each namespace's tasks take, in bytes (inputs in characters),
            without what a database needs around them. Namespaces without tasks may be missing.
    """

    used_bytes: int
    free_bytes: int | None
    writable: bool = True
    by_namespace: Mapping[str, int] = MappingProxyType({})


class Journal(Protocol):
    """The durable log of all tasks. Every method may raise `JournalUnavailable`, and `JournalClosed` after `close`."""

    def commit(self, write: Write) -> "asyncio.Future[None]":
        """Makes a write durable; once the future is done, it is, and every read sees it.

        Writes of one task are applied in the order of the calls, and share transactions with those of other tasks.
        Cancelling the future does not cancel the write.

        Raises (the future, but for `JournalClosed`):
            DuplicateRequest: `write.accept.request_id` belongs to a task of that namespace already; nothing was written.
            InvalidWrite: The write contradicts the log (a gap, a finished or unknown task); nothing was written.
            JournalUnavailable: It could not be made durable, and is not visible. (If the disk failed in the
                middle of the commit, it may still appear after a restart.)
        """

    async def task(self, task_id: str, namespace: str | None = None) -> TaskRecord | None:
        """The task, or None if there is no such task.

        Args:
            task_id: The task.
            namespace: Only if it belongs to this one. To find that it does not takes no longer than to find that there is no
                such task, whatever is stored of it. None: whose it is does not matter.
        """

    async def find_request(self, request_id: str, namespace: str) -> TaskRecord | None:
        """The task of a namespace that was accepted with this request id ("" finds nothing)."""

    async def schema(self, schema_hash: bytes) -> str | None:
        """The text of a schema that some task uses, or None."""

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        """The batches whose last event is after a sequence, in order.

        At least one if there is any; then as long as their events add up to at most `max_bytes`. Empty for an
        unknown task.
        """

    async def tasks(
        self,
        *,
        limit: int,
        before: int | None,
        statuses: frozenset[int],
        labels: Mapping[str, str],
        namespace: str,
    ) -> list[TaskRecord]:
        """A page of a namespace's tasks, newest first, without inputs and result ("" and None), so that it stays small.

        Args:
            limit: At most so many.
            before: Only tasks with a smaller `order`; None starts with the newest.
            statuses: Only tasks in one of these; empty means all.
            labels: Only tasks that have all of these.
            namespace: Whose tasks.
        """

    async def unfinished(self, *, after: int = 0, limit: int | None = None) -> list[TaskRecord]:
        """The tasks of all namespaces that have not ended, oldest first, without inputs and result ("" and None).

        Args:
            after: The `order` to continue from.
            limit: At most so many.
        """

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        """Removes finished tasks with their logs, those that ended first before others, and frees their space.

        Args:
            ended_before: Remove those that ended before this time; None: no limit by age.
            keep_newest: Remove all but so many that ended last; None: no limit by count.
            limit: Remove at most so many tasks in this call.

        Returns:
            The removed tasks. Fewer than `limit` means that no more are due.
        """

    async def begin_session(self, at: int) -> list[ServerSession]:
        """Records the start of a server; returns the earlier sessions in their order.

        Sessions that ended before any task that runs now had started are deleted.
        """

    async def extend_session(self, session: ServerSession) -> None:
        """Records that the server that began at `session.began` was alive at `session.alive`. A session never gets shorter."""

    async def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
        """Records that a process died while it worked on these tasks; counts the crashes of all unfinished tasks.

        Args:
            task_ids: The tasks. Unknown and finished ones are ignored.
            session: The process. It is counted once, however often it is recorded.

        Returns:
            By task, how many processes died in a row while they worked on it, with no event committed in between. Only
            tasks that have such a count.
        """

    async def usage(self) -> Usage:
        """The space that it takes now."""

    async def signing_key(self) -> bytes:
        """A secret of this journal, as old as the journal itself: what a server signs with it, its successors accept."""

    async def close(self) -> None:
        """Commits what was submitted before this call, then closes. May be called twice."""
