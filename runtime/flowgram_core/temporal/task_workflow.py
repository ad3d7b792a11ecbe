"""The workflow of one task: drives its `Execution` inside of Temporal, and puts the log into the history.

A step of the core is recorded before anything that depends on it is begun: by the first call of the step or by a marker, see
`HistoryWriter`; the last one is the workflow's result.

A replay compares what it gets with what is recorded, byte for byte: a marker holds the record, and a call answers with a
digest of the one that it carried. Temporal itself would not notice that events differ. A task that has diverged, or whose
worker cannot read it, stands still until a worker takes it on that does not.

What decides about commands is the history and the task's input alone, never a setting of the worker.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from flowgram_core.engine.activations import Activation, Cancel, Fail, Start, TimeOut, to_json
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Command
from flowgram_core.engine.step import Step
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.errors import HistoryDiverged
from flowgram_core.temporal.history_writer import DIVERGED, HistoryWriter, history_length
from flowgram_core.temporal.names import FAILED, WORKFLOW
from flowgram_core.temporal.record import Record
from flowgram_core.temporal.task_calls import TaskCalls, workflow_time
from flowgram_core.temporal.task_environment import TaskEnvironment, Variant
from flowgram_core.temporal.task_input import Continuation, Position, TaskInput

_log = logging.getLogger(__name__)

_MEMORY_OF_BYTE: Final = 16
"""What takes more memory than this for each byte that a new run may begin with does not fit, but for short numbers."""


class _Ended(NamedTuple):
    """The task has ended; with its last record."""

    status: Status
    data: bytes


class _Continues(NamedTuple):
    """The task goes on in a new run."""

    position: Position
    state: Continuation


@workflow.defn(name=WORKFLOW, sandboxed=False)
class TaskWorkflow:
    """One task.

    Attributes:
        environment: What the worker has for all tasks; set by the worker before the run.
    """

    environment: TaskEnvironment

    def __init__(self) -> None:
        self._inbox: deque[Activation] = deque()
        self._interrupt: Activation | None = None
        self._timer: asyncio.Task[None] | None = None
        self._input_bytes = 0
        self._new_run_from = 0
        self._task: TaskInput
        self._variant: Variant
        self._writer: HistoryWriter
        self._calls: TaskCalls
        self._execution: Execution

    @workflow.run
    async def run(self, task: bytes, position: bytes, state: bytes) -> bytes:
        """Drives a task to its end, or to the end of this run.

        Args:
            task: A `TaskInput`.
            position: A `Position`: where its log stands.
            state: A `Continuation`, or empty for a new task.

        Returns:
            The last record of a task that has succeeded.
        """
        driving = asyncio.create_task(self._drive(task, position, state))
        while True:
            try:
                end = await asyncio.shield(driving)
                break
            except asyncio.CancelledError:
                if driving.cancelled():
                    raise
                self._stop(Cancel(workflow_time(), workflow.cancellation_reason() or ""))
        if isinstance(end, _Continues):
            state_now = end.state._replace(interrupt=self._interrupt)
            workflow.continue_as_new(
                args=[task, end.position.encode(), state_now.encode()],
                initial_versioning_behavior=workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE,
            )
        if end.status is Status.CANCELED:
            raise asyncio.CancelledError
        if end.status is Status.FAILED:
            raise ApplicationError(FAILED, end.data, type=FAILED, non_retryable=True)
        return end.data

    async def _drive(self, task: bytes, position: bytes, state: bytes) -> _Ended | _Continues:
        try:
            self._begin(task, position, state)
            return await self._go_on()
        except HistoryDiverged:
            raise
        except Exception:
            # Raised, it would be tried again for ever. In a replay it is a difference to what happened.
            if workflow.unsafe.is_replaying() or not hasattr(self, "_execution"):
                raise
            _log.exception("a task is given up", extra={"task_id": workflow.info().workflow_id})
            return await self._give_up("Task failed with an internal error")

    def _begin(self, task: bytes, position: bytes, state: bytes) -> None:
        """Builds the execution, anew or from where the run before left it."""
        self._task = given = TaskInput.decode(task)
        self._input_bytes = len(task)
        self._variant = variant = self.environment.variant(given.pins)
        self._writer = HistoryWriter(given.shape, Position.decode(position).sequence)
        self._calls = TaskCalls(given, variant.secret_names, self._writer, self._inbox.append)
        try:
            program = variant.programs.program(given.schema, accepted=True)
            inputs = variant.programs.inputs(program, given.inputs, accepted=True)
            if not state:
                self._execution = Execution(program, inputs, variant.limits)
                self._inbox.append(Start(workflow_time()))
                return
            kept = Continuation.decode(state)
            self._execution = Execution.restore(kept.snapshot, program, inputs, variant.limits)
        except (InvalidWorkflow, ProtocolError) as error:
            raise HistoryDiverged(str(error)) from error
        self._inbox += kept.inbox
        self._interrupt = kept.interrupt
        self._calls.add(self._execution.running_calls())
        self._set_timer()

    async def _go_on(self) -> _Ended | _Continues:
        execution = self._execution
        while True:
            if self._calls.diverged:
                raise HistoryDiverged(DIVERGED)
            record, commands = self._step()
            await self._writer.record_lost()
            if execution.finished is not None:
                return await self._end(execution.finished, record)
            self._calls.cancel(commands)
            self._calls.add(commands)
            ends_soon = self._is_long()
            carries = record is not None and not ends_soon and self._can_carry(record)
            if record is not None and not carries:
                await self._writer.record(record)
            if self._timer is None:
                self._set_timer()
            if ends_soon:
                if not self._calls.any_running and self._interrupt is None:
                    if (continues := self._continuation()) is not None:
                        return continues
                    continue
            else:
                await self._calls.begin(record if carries else None, self._is_interrupted)
            if not execution.has_work:
                await workflow.wait_condition(self._is_awake)

    def _step(self) -> tuple[Record | None, Sequence[Command]]:
        """Lets the core do one step; its record, if anything happened, and its commands."""
        execution, variant, shape = self._execution, self._variant, self._task.shape
        step = Step(shape.step_budget, shape.step_bytes, variant.codec.encode, Batch, shape.step_work)
        try:
            step.work(execution, self._next_input, workflow_time)
        finally:
            self._log_unexpected_errors()
        batches = [batch for batch in step.batches if batch.events]
        if not batches:
            return None, step.commands
        finished = execution.finished
        record = Record(
            execution.status,
            batches[0].first_sequence,
            execution.sequence,
            execution.now,
            execution.start_time,
            b"".join(batch.events for batch in batches),
            b"" if finished is None else variant.codec.encode_result(finished),
        )
        return record, step.commands

    def _next_input(self) -> tuple[Activation, str] | None:
        execution = self._execution
        if (reason := workflow.cancellation_reason()) is not None:  # before `run` gets to know of it
            self._stop(Cancel(workflow_time(), reason))
        if self._interrupt is not None:
            return self._interrupt, to_json(self._interrupt)
        if self._inbox and not execution.has_work:
            given = self._inbox.popleft()
            return given, to_json(given)
        return None

    def _stop(self, interrupt: Cancel | Fail | TimeOut) -> None:
        if self._interrupt is None:
            self._interrupt = interrupt

    def _is_interrupted(self) -> bool:
        return self._interrupt is not None

    def _is_awake(self) -> bool:
        can_continue = not self._calls.any_running and self._is_long()
        return bool(self._inbox) or self._is_interrupted() or self._calls.diverged or can_continue

    def _can_carry(self, record: Record) -> bool:
        """Whether a call that is begun now can carry a record: nothing may stop it in the same workflow task."""
        return (
            self._calls.can_begin
            and self._writer.can_carry(record)
            and not self._execution.has_work
            and not self._inbox
            and self._interrupt is None
        )

    def _is_long(self) -> bool:
        """Whether the task is to go on in a new run: none of its calls is begun in this one."""
        info, length = workflow.info(), history_length()
        if length < self._new_run_from:
            return self._is_full()
        return info.is_continue_as_new_suggested() or length >= self._task.shape.history_events

    def _is_full(self) -> bool:
        """Whether the cluster would soon end the workflow for the size of its history."""
        shape, size = self._task.shape, workflow.info().get_current_history_size()
        return history_length() >= shape.max_history_events or size >= shape.max_history_bytes

    def _continuation(self) -> _Continues | None:
        """From where to go on in a new run; None where that cannot be, for the size of what the task holds.

        Such a task stays in this run: later it may hold less, or end. It fails when the history is full.
        """
        execution, limit = self._execution, self._task.shape.continued_bytes
        if execution.held_memory <= _MEMORY_OF_BYTE * limit:  # writing more than that takes long
            state = Continuation(execution.snapshot(), tuple(self._inbox), None)
            if self._input_bytes + len(state.encode()) <= limit:
                return _Continues(Position(execution.sequence, execution.start_time), state)
        self._new_run_from = history_length() + self._task.shape.history_events
        if self._is_full():
            text = (
                f"Task is long, and holds more than a new run of its workflow may begin with: {limit} bytes"
            )
            self._stop(Fail(workflow_time(), text))
        return None

    async def _end(self, finished: Finished, record: Record | None) -> _Ended:
        if record is None:
            raise HistoryDiverged("a task ended without an event")
        # The closing event of a workflow that was canceled has no room for it.
        if finished.status is Status.CANCELED or len(record.events) > self._task.shape.carried_bytes:
            await self._writer.record(record)
            record = record._replace(first_sequence=record.last_sequence + 1, events=b"")
        observer = self.environment.observer
        if observer is not None and not workflow.unsafe.is_replaying():
            observer.ended(finished.status, (finished.end_time - self._task.create_time) / 1e6)
        return _Ended(finished.status, record.encode())

    async def _give_up(self, text: str) -> _Ended:
        """Ends a task that cannot go on by a mistake of ours. What was not recorded counts for nothing."""
        sequence, at, start_time = self._writer.recorded + 1, workflow_time(), self._execution.start_time
        message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, text, "")
        ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
        finished = Finished(Status.FAILED, None, (message,), start_time, at)
        codec = self._variant.codec
        events, result = codec.encode([message, ended]), codec.encode_result(finished)
        record = Record(Status.FAILED, sequence, sequence + 1, at, start_time, events, result)
        await self._writer.record_lost()
        return await self._end(finished, record)

    # Time

    def _set_timer(self) -> None:
        """Sets the time-out: what is left of it."""
        timeout = self._task.timeout
        if timeout is not None and self._execution.status is Status.PROCESSING:
            left = max(0, self._execution.start_time + timeout - workflow_time())
            self._timer = asyncio.create_task(self._time_out(left, timeout))

    async def _time_out(self, left: int, limit: int) -> None:
        await asyncio.sleep(left / 1e6)
        self._stop(TimeOut(workflow_time(), limit))

    def _log_unexpected_errors(self) -> None:
        unexpected = self._execution.unexpected_errors
        while unexpected:
            node_id, inputs, error = unexpected.pop()
            if not workflow.unsafe.is_replaying():
                secrets = self._variant.secrets.values(inputs)
                log_unexpected_error(error, secrets, task_id=workflow.info().workflow_id, node_id=node_id)
