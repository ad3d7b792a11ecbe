"""Task logs: what the histories of tasks say, read to the end or followed as they grow.

One follower per task that is watched here, however many watch it: it reads by long polls, keeps the last part in a `LiveLog`,
and is gone with its last watcher. A watcher that begins further back reads that part of the history for itself.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final

from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.errors import FlowgramError, ShuttingDown
from flowgram_core.hosting.live_log import LiveLog, OutputDelta, join
from flowgram_core.journal.errors import JournalError, JournalUnavailable
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.temporal.call_activity import AnswerSoFar
from flowgram_core.temporal.cluster import Cluster, readable
from flowgram_core.temporal.errors import TemporalError
from flowgram_core.temporal.history import TaskHistory, payloads_of
from flowgram_core.temporal.names import CALL

_log = logging.getLogger(__name__)

_JOINED_BYTES: Final = 512 * 1024
_TAIL_BYTES: Final = 128 * 1024
"""Of the events of a task that is followed: most watchers need no more than the last of them."""
_DELTA_INTERVAL: Final = 0.25


class HistoryReader:
    """Reads the histories of tasks.

    Args:
        cluster: Has them.
        codec: Encodes what is made of the end of a workflow that ended past its code.
        fairness: Lets others go on between two pages.
    """

    def __init__(self, cluster: Cluster, codec: Codec, fairness: FairScheduler) -> None:
        self._cluster = cluster
        self._codec = codec
        self._fairness = fairness

    def new(self, workflow_id: str) -> TaskHistory:
        """A history of which nothing has been read."""
        return TaskHistory(workflow_id, self._codec)

    async def read(
        self, history: TaskHistory, run_id: str, *, wait: bool
    ) -> AsyncGenerator[list[Batch], None]:
        """Reads a run and all that follow it.

        Args:
            history: Takes in what is read.
            run_id: The first run to read.
            wait: Whether to wait for more, until the task has ended; else ends where the history does.

        Yields:
            The log, page by page; a page may bring none of it.
        """
        workflow_id = history.workflow_id
        while run_id:
            token = b""
            while True:
                page = await self._cluster.history(workflow_id, run_id, token, wait=wait)
                await self._fairness.time_slice()
                yield await self._add(history, page.history.events)
                token = page.next_page_token
                if not token:
                    break
            run_id = history.following

    async def latest(self, workflow_id: str, info: WorkflowExecutionInfo) -> TaskHistory:
        """The task as it is now, by its newest run."""
        history = self.new(workflow_id)
        async with aclosing(self.read(history, info.execution.run_id, wait=False)) as pages:
            async for _ in pages:
                pass
        return history

    async def begun(self, workflow_id: str, info: WorkflowExecutionInfo) -> TaskHistory:
        """The task as its newest run began: its schema and inputs."""
        history = self.new(workflow_id)
        await self._first_event(history, info.execution.run_id)
        return history

    async def after(
        self, workflow_id: str, sequence: int, info: WorkflowExecutionInfo, history: TaskHistory | None = None
    ) -> AsyncGenerator[Batch, None]:
        """The log after an event, as far as it goes now, in batches that are joined up to a bounded size.

        Args:
            workflow_id: Of the task; see `workflow_ids`.
            sequence: The event; the first batch may begin before it.
            info: What the cluster knows of the task.
            history: Takes in what is read, if somebody wants to know how it ends.
        """
        history = history or self.new(workflow_id)
        run_id = await self._run_with(workflow_id, sequence + 1, info)
        found: list[Batch] = []
        size = 0
        async with aclosing(self.read(history, run_id, wait=False)) as pages:
            async for page in pages:
                for batch in page:
                    if batch.last_sequence <= sequence:
                        continue
                    found.append(batch)
                    size += len(batch.events)
                    if size >= _JOINED_BYTES:
                        yield join(found)
                        found, size = [], 0
        if found:
            yield join(found)

    async def _run_with(self, workflow_id: str, sequence: int, info: WorkflowExecutionInfo) -> str:
        """The run in which an event is, or would be: from the newest one backwards."""
        run_id, first = info.execution.run_id, info.first_run_id
        while run_id != first and first:
            history = self.new(workflow_id)
            event = await self._first_event(history, run_id)
            if history.position.sequence < sequence:
                break
            before = event.workflow_execution_started_event_attributes.continued_execution_run_id
            if not before:
                break
            run_id = before
        return run_id

    async def _first_event(self, history: TaskHistory, run_id: str) -> HistoryEvent:
        page = await self._cluster.history(history.workflow_id, run_id, b"", wait=False, page_size=1)
        await self._add(history, page.history.events[:1])
        return page.history.events[0]

    async def _add(self, history: TaskHistory, events: Sequence[HistoryEvent]) -> list[Batch]:
        wanted = [payloads_of(event) for event in events]
        with readable(history.owner.task_id):
            decoded = await self._cluster.decoded([payload for payloads in wanted for payload in payloads])
            batches: list[Batch] = []
            begin = 0
            for event, payloads in zip(events, wanted, strict=True):
                end = begin + len(payloads)
                batch = history.add(event, decoded[begin:end])
                if batch is not None:
                    batches.append(batch)
                begin = end
        return batches


class TaskLog:
    """Follows one task.

    Attributes:
        live_log: The live end of its log.
    """

    def __init__(self, workflow_id: str, cluster: Cluster, reader: HistoryReader, clock: Clock) -> None:
        self.workflow_id = workflow_id
        self.live_log = LiveLog(_TAIL_BYTES)
        self._cluster = cluster
        self._reader = reader
        self._clock = clock
        self._history = reader.new(workflow_id)
        self._run_id = ""
        self._events_read = 0  # of that run
        self._runs_read: set[str] = set()  # to their ends
        self._ready = asyncio.Event()
        self._error: Exception | None = None
        self._catching_up = 0
        self._delta_users = 0
        self._polling: asyncio.Task[None] | None = None

    @property
    def record(self) -> TaskRecord:
        """The task as far as it has been followed. Raises what keeps it from being followed."""
        if self._error is not None:
            raise self._error
        record = self._history.record
        if record is None:
            raise JournalUnavailable("a history without a beginning")
        return record

    def has_ended(self) -> bool:
        """Whether the task has terminated. Raises what keeps it from being followed."""
        return self.record.ended

    @property
    def cancel_requested_by(self) -> str:
        """Who asked first for it to be canceled, since it is followed."""
        return self._history.cancel_requested_by

    async def follow(self, info: WorkflowExecutionInfo) -> None:
        """Follows the task until it ends, from its newest run on. Errors are raised to the users of the log."""
        try:
            await self._follow(info)
        except (FlowgramError, JournalError) as error:
            self._error = error
        except asyncio.CancelledError:
            self._error = ShuttingDown()
            raise
        except Exception as error:  # noqa: BLE001 - raised to the users of the log
            _log.exception("a task cannot be followed", extra={"task_id": self._history.owner.task_id})
            self._error = error
        finally:
            self._ready.set()
            self.live_log.end()

    async def _follow(self, info: WorkflowExecutionInfo) -> None:
        history, self._run_id = self._history, info.execution.run_id
        first = self._run_id, info.history_length
        async with aclosing(self._reader.read(history, self._run_id, wait=True)) as pages:
            async for batches in pages:
                if not self._ready.is_set() and not self.live_log.last_sequence:
                    self.live_log.last_sequence = history.position.sequence
                if batches:
                    self.live_log.publish(batches)
                self._events_read = history.event_id
                if history.following:
                    self._runs_read.add(self._run_id)
                    self._run_id, self._events_read = history.following, 0
                if not self._ready.is_set() and self._has_read(*first):
                    self._ready.set()
                if self._catching_up:
                    self.live_log.nudge()

    def _has_read(self, run_id: str, length: int) -> bool:
        """Whether so many events of a run have been read."""
        return run_id in self._runs_read or (run_id == self._run_id and self._events_read >= length)

    async def ready(self) -> None:
        """Returns when all that was in the history when the following began has been read. Raises what prevents it."""
        await self._ready.wait()
        if self._error is not None:
            raise self._error

    async def catch_up(self) -> None:
        """Returns when all that is in the history now has been read: another server may have shown more than this one has."""
        info = (await self._cluster.describe(self.workflow_id)).workflow_execution_info
        self._catching_up += 1
        try:
            while not self.has_ended() and not self._has_read(info.execution.run_id, info.history_length):
                await self.live_log.changed(self._clock)
        finally:
            self._catching_up -= 1

    # Deltas

    @asynccontextmanager
    async def deltas(self) -> AsyncIterator[None]:
        """While it is entered, the answers of running calls are looked at as they grow."""
        self._delta_users += 1
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll_answers(), name="answers")
        try:
            yield
        finally:
            self._delta_users -= 1
            if not self._delta_users and self._polling is not None:
                self._polling.cancel()
                self._polling = None

    async def _poll_answers(self) -> None:
        seen: dict[str, int] = {}
        while not self.live_log.ended:
            try:
                for answer in await self._answers():
                    self._emit(answer, seen)
            except (FlowgramError, JournalError, TemporalError) as error:
                _log.debug("answers cannot be looked at: %s", error)
            await self._clock.sleep(_DELTA_INTERVAL)

    async def _answers(self) -> list[AnswerSoFar]:
        found = await self._cluster.describe(self.workflow_id)
        answers = []
        for pending in found.pending_activities:
            payloads = pending.heartbeat_details.payloads
            if pending.activity_type.name == CALL and len(payloads) == len(AnswerSoFar._fields):
                answers.append(AnswerSoFar(*await self._cluster.decoded_values(payloads)))
        return answers

    def _emit(self, answer: AnswerSoFar, seen: dict[str, int]) -> None:
        length = answer.offset + len(answer.text)
        known = seen.get(answer.key, 0)
        if length < known:  # the call is made again
            known = 0
        text = answer.text[max(0, known - answer.offset) :]
        seen[answer.key] = length
        if text:
            self.live_log.emit(OutputDelta(answer.node_id, answer.key, text, self._clock.now()))


class TaskLogs:
    """The tasks that are followed here: one follower each, for as long as somebody uses it."""

    def __init__(self, cluster: Cluster, reader: HistoryReader, clock: Clock) -> None:
        self._cluster = cluster
        self._reader = reader
        self._clock = clock
        self._logs: dict[str, _Used] = {}

    def __len__(self) -> int:
        return len(self._logs)

    @asynccontextmanager
    async def opened(self, info: WorkflowExecutionInfo) -> AsyncIterator[TaskLog]:
        """The log of a task, followed while it is entered.

        Args:
            info: What the cluster knows of the task: the log is ready when so much has been read.

        Raises:
            TaskNotFound: There is no such task.
            JournalUnavailable: It cannot be read at the moment.
        """
        workflow_id = info.execution.workflow_id
        used = self._logs.get(workflow_id)
        if used is None or (used.following.done() and not used.has_ended):
            log = TaskLog(workflow_id, self._cluster, self._reader, self._clock)
            used = self._logs[workflow_id] = _Used(log, info)
        used.users += 1
        try:
            await used.log.ready()
            yield used.log
        finally:
            used.users -= 1
            if not used.users:
                if self._logs.get(workflow_id) is used:
                    del self._logs[workflow_id]
                used.following.cancel()

    def nudge(self) -> None:
        """Wakes everybody who waits for one of the logs, to look around."""
        for used in self._logs.values():
            used.log.live_log.nudge()


class _Used:
    def __init__(self, log: TaskLog, info: WorkflowExecutionInfo) -> None:
        self.log = log
        self.users = 0
        self.following = asyncio.create_task(log.follow(info), name=f"follow {log.workflow_id}")

    @property
    def has_ended(self) -> bool:
        """Whether it was followed to the end of its task."""
        try:
            return self.log.record.ended
        except (FlowgramError, JournalError):
            return False
