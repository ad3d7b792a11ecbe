"""The workflow of one task: drives its `Execution` inside of Temporal, and puts the log into the history.

A step of the core is recorded before anything that depends on it is begun. A record costs no event of its own where a call of
the same step can carry it, or where it is the last one, which is the workflow's result. Otherwise it is a marker: a local
activity that gives the bytes back. (Not a memo: that would stay in every row of the cluster's visibility.)

A replay compares what it gets with what is recorded, byte for byte: a marker holds the record, and a call answers with a
digest of the one that it carried. Temporal itself would not notice that events differ. A task that has diverged, or whose
worker cannot read it, stands still until a worker takes it on that does not.

What decides about commands is the history and the task's input alone, never a setting of the worker.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final, NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from flowgram_core.engine.activations import (
    Activation,
    CallFailed,
    Cancel,
    Fail,
    Start,
    TimeOut,
    from_json,
    to_json,
)
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.engine.events import Finished, MessageLogged, MessageType, TaskStatusChanged
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Call, CancelCall, Command
from flowgram_core.engine.step import Step
from flowgram_core.hosting.errors import InvalidWorkflow
from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_core.journal.interface import Batch
from flowgram_core.modeling.status import Status
from flowgram_core.temporal.call_activity import CallRequest
from flowgram_core.temporal.errors import HistoryDiverged
from flowgram_core.temporal.names import CALL, FAILED, PAUSE, RECORD, WORKFLOW
from flowgram_core.temporal.record import Record, digest, split_digest
from flowgram_core.temporal.task_environment import TaskEnvironment, Variant
from flowgram_core.temporal.task_input import Continuation, Position, TaskInput

_log = logging.getLogger(__name__)

_LOCAL_TIMEOUT: Final = timedelta(seconds=10)
_PAUSE_TIMEOUT: Final = timedelta(seconds=60)
_CALL_TIMEOUT: Final = timedelta(days=3650)
"""Calls have a time limit of their own; a worker that dies shows by its silence."""
_RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=10))
_MAX_ACTIVITY_ID: Final = 200
_MEMORY_OF_BYTE: Final = 16
"""What takes more memory than this for each byte that a new run may begin with does not fit, but for short numbers."""
_DIVERGED: Final = "this version does not get to the events that are recorded"


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
        self._calls: dict[str, workflow.ActivityHandle[bytes]] = {}
        self._waiting: deque[Call] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._sent = _Sent()
        self._recorded = 0
        self._input_bytes = 0
        self._new_run_from = 0
        self._carried: _Carried | None = None
        self._diverged = False
        self._task: TaskInput
        self._variant: Variant
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
                self._stop(Cancel(_now(), workflow.cancellation_reason() or ""))
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
        self._recorded = Position.decode(position).sequence
        self._task = given = TaskInput.decode(task)
        self._input_bytes = len(task)
        self._variant = variant = self.environment.variant(given.pins)
        try:
            program = variant.programs.program(given.schema, accepted=True)
            inputs = variant.programs.inputs(program, given.inputs, accepted=True)
            if not state:
                self._execution = Execution(program, inputs, variant.limits)
                self._inbox.append(Start(_now()))
                return
            kept = Continuation.decode(state)
            self._execution = Execution.restore(kept.snapshot, program, inputs, variant.limits)
        except (InvalidWorkflow, ProtocolError) as error:
            raise HistoryDiverged(str(error)) from error
        self._inbox += kept.inbox
        self._interrupt = kept.interrupt
        self._waiting += self._execution.running_calls()
        self._set_timer()

    async def _go_on(self) -> _Ended | _Continues:
        execution = self._execution
        while True:
            if self._diverged:
                raise HistoryDiverged(_DIVERGED)
            record, commands = self._step()
            await self._record_lost()
            if execution.finished is not None:
                return await self._end(execution.finished, record)
            self._cancel(commands)
            self._waiting += (command for command in commands if isinstance(command, Call))
            ends_soon = self._is_long()
            carries = record is not None and not ends_soon and self._can_carry(record)
            if record is not None and not carries:
                await self._record(record)
            if self._timer is None:
                self._set_timer()
            if ends_soon:
                if not self._calls and self._interrupt is None:
                    if (continues := self._continuation()) is not None:
                        return continues
                    continue
            else:
                await self._make_calls(record if carries else None)
            if not execution.has_work:
                await workflow.wait_condition(self._is_awake)

    def _step(self) -> tuple[Record | None, Sequence[Command]]:
        """Lets the core do one step; its record, if anything happened, and its commands."""
        execution, variant, shape = self._execution, self._variant, self._task.shape
        step = Step(shape.step_budget, shape.step_bytes, variant.codec.encode, Batch, shape.step_work)
        try:
            step.work(execution, self._next_input, _now)
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
            self._stop(Cancel(_now(), reason))
        if self._interrupt is not None:
            return self._interrupt, to_json(self._interrupt)
        if self._inbox and not execution.has_work:
            given = self._inbox.popleft()
            return given, to_json(given)
        return None

    def _stop(self, interrupt: Cancel | Fail | TimeOut) -> None:
        if self._interrupt is None:
            self._interrupt = interrupt

    def _is_awake(self) -> bool:
        can_continue = not self._calls and self._is_long()
        return bool(self._inbox) or self._interrupt is not None or self._diverged or can_continue

    def _is_long(self) -> bool:
        """Whether the task is to go on in a new run: none of its calls is begun in this one."""
        info, length = workflow.info(), _history_length()
        if length < self._new_run_from:
            return self._is_full()
        return info.is_continue_as_new_suggested() or length >= self._task.shape.history_events

    def _is_full(self) -> bool:
        """Whether the cluster would soon end the workflow for the size of its history."""
        shape, size = self._task.shape, workflow.info().get_current_history_size()
        return _history_length() >= shape.max_history_events or size >= shape.max_history_bytes

    def _continuation(self) -> _Continues | None:
        """From where to go on in a new run; None where that cannot be, for the size of what the task holds.

        Such a task stays in this run: later it may hold less, or end. It fails when the history is full.
        """
        execution, limit = self._execution, self._task.shape.continued_bytes
        if execution.held_memory <= _MEMORY_OF_BYTE * limit:  # writing more than that takes long
            state = Continuation(execution.snapshot(), tuple(self._inbox), None)
            if self._input_bytes + len(state.encode()) <= limit:
                return _Continues(Position(execution.sequence, execution.start_time), state)
        self._new_run_from = _history_length() + self._task.shape.history_events
        if self._is_full():
            text = (
                f"Task is long, and holds more than a new run of its workflow may begin with: {limit} bytes"
            )
            self._stop(Fail(_now(), text))
        return None

    async def _end(self, finished: Finished, record: Record | None) -> _Ended:
        if record is None:
            raise HistoryDiverged("a task ended without an event")
        # The closing event of a workflow that was canceled has no room for it.
        if finished.status is Status.CANCELED or len(record.events) > self._task.shape.carried_bytes:
            await self._record(record)
            record = record._replace(first_sequence=record.last_sequence + 1, events=b"")
        observer = self.environment.observer
        if observer is not None and not workflow.unsafe.is_replaying():
            observer.ended(finished.status, (finished.end_time - self._task.create_time) / 1e6)
        return _Ended(finished.status, record.encode())

    async def _give_up(self, text: str) -> _Ended:
        """Ends a task that cannot go on by a mistake of ours. What was not recorded counts for nothing."""
        sequence, at, start_time = self._recorded + 1, _now(), self._execution.start_time
        message = MessageLogged(sequence, at, f"message_{sequence}", MessageType.ERROR, text, "")
        ended = TaskStatusChanged(sequence + 1, at, Status.FAILED, start_time, at, None)
        finished = Finished(Status.FAILED, None, (message,), start_time, at)
        codec = self._variant.codec
        events, result = codec.encode([message, ended]), codec.encode_result(finished)
        record = Record(Status.FAILED, sequence, sequence + 1, at, start_time, events, result)
        await self._record_lost()
        return await self._end(finished, record)

    # Recording

    def _can_carry(self, record: Record) -> bool:
        """Whether a call that is begun now can carry a record: nothing may stop it in the same workflow task."""
        shape = self._task.shape
        return (
            bool(self._waiting)
            and len(self._calls) < shape.parallel_calls
            and len(record.events) <= shape.carried_bytes
            and self._sent.in_this_task < shape.task_bytes
            and not self._execution.has_work
            and not self._inbox
            and self._interrupt is None
        )

    async def _record(self, record: Record) -> None:
        await self._mark(record.encode())
        self._recorded = record.last_sequence

    async def _record_lost(self) -> None:
        """Records again what a call carried that may be stopped before the history gets to hold it.

        A call that is begun and stopped in one workflow task leaves nothing behind. Readers skip what they have.
        """
        carried, self._carried = self._carried, None
        if carried is not None and carried.began_at == _history_length():
            await self._mark(carried.data)

    async def _mark(self, data: bytes) -> None:
        await self._make_room(len(data))
        kept = await workflow.execute_local_activity(
            RECORD, data, start_to_close_timeout=_LOCAL_TIMEOUT, result_type=bytes
        )
        if kept != data:
            raise HistoryDiverged(_DIVERGED)

    async def _make_room(self, size: int) -> None:
        """Begins another workflow task where this one would get too large: one that is too large fails for ever."""
        sent = self._sent
        if sent.in_this_task and sent.in_this_task + size > self._task.shape.task_bytes:
            await workflow.execute_activity(PAUSE, start_to_close_timeout=_PAUSE_TIMEOUT, retry_policy=_RETRY)
        sent.add(size)

    # Calls

    async def _make_calls(self, record: Record | None) -> None:
        """Begins the calls that wait, as far as there may be more at once; the first one carries the record."""
        shape, secret_names = self._task.shape, tuple(sorted(self._variant.secret_names))
        carried = b"" if record is None else record.encode()
        while self._waiting and len(self._calls) < shape.parallel_calls:
            request = CallRequest(self._waiting[0], secret_names, self._task.trace).encode()
            if carried:
                self._sent.add(len(carried) + len(request))
            else:
                await self._make_room(len(request))
                if self._interrupt is not None or not self._waiting:
                    return
            self._begin_call(self._waiting.popleft(), request, carried)
            carried = b""
        if record is not None:
            self._recorded = record.last_sequence

    def _begin_call(self, call: Call, request: bytes, carried: bytes) -> None:
        handle: workflow.ActivityHandle[bytes] = workflow.start_activity(
            CALL,
            args=[carried, request],
            activity_id=call.key if len(call.key) <= _MAX_ACTIVITY_ID else digest(call.key.encode()).hex(),
            start_to_close_timeout=_CALL_TIMEOUT,
            heartbeat_timeout=timedelta(milliseconds=self._task.shape.heartbeat_timeout),
            retry_policy=_RETRY,
            result_type=bytes,
        )
        self._calls[call.key] = handle
        if carried:
            self._carried = _Carried(_history_length(), carried)
        handle.add_done_callback(partial(self._called, call.key, digest(carried)))

    def _called(self, key: str, proof: bytes, handle: "asyncio.Task[bytes]") -> None:
        """Takes in the outcome of a call. Its time is the workflow's: a task has one clock."""
        if self._calls.get(key) is not handle or handle.cancelled():
            return  # it was stopped, or the worker puts the task out of memory
        del self._calls[key]
        error = handle.exception()
        if isinstance(error, ActivityError):
            outcome: Activation = CallFailed(_now(), key, _text_of(error))
        elif error is not None:
            raise error
        else:
            given, text = split_digest(handle.result())
            if given != proof:
                self._diverged = True
                return
            outcome = from_json(text.decode("utf-8", "surrogatepass"))._replace(at=_now())
        self._inbox.append(outcome)

    def _cancel(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, CancelCall):
                handle = self._calls.pop(command.key, None)
                if handle is not None:
                    handle.cancel()
                else:
                    self._waiting = deque(call for call in self._waiting if call.key != command.key)

    # Time

    def _set_timer(self) -> None:
        """Sets the time-out: what is left of it."""
        timeout = self._task.timeout
        if timeout is not None and self._execution.status is Status.PROCESSING:
            left = max(0, self._execution.start_time + timeout - _now())
            self._timer = asyncio.create_task(self._time_out(left, timeout))

    async def _time_out(self, left: int, limit: int) -> None:
        await asyncio.sleep(left / 1e6)
        self._stop(TimeOut(_now(), limit))

    def _log_unexpected_errors(self) -> None:
        unexpected = self._execution.unexpected_errors
        while unexpected:
            node_id, inputs, error = unexpected.pop()
            if not workflow.unsafe.is_replaying():
                secrets = self._variant.secrets.values(inputs)
                log_unexpected_error(error, secrets, task_id=workflow.info().workflow_id, node_id=node_id)


class _Carried(NamedTuple):
    """A record that a call carries.

    Attributes:
        began_at: The length of the history when the call began.
        data: The record.
    """

    began_at: int
    data: bytes


class _Sent:
    """Counts what is sent in one workflow task."""

    def __init__(self) -> None:
        self._began_at = 0
        self._bytes = 0

    @property
    def in_this_task(self) -> int:
        """So many bytes."""
        if self._began_at != _history_length():
            self._began_at, self._bytes = _history_length(), 0
        return self._bytes

    def add(self, size: int) -> None:
        """Counts so many more."""
        self._bytes = self.in_this_task + size


def _now() -> int:
    return workflow.time_ns() // 1000


def _history_length() -> int:
    """The length of the history when this workflow task began: it tells one workflow task from another."""
    return workflow.info().get_current_history_length()


def _text_of(error: ActivityError) -> str:
    """What users read of a call that failed past its node type."""
    if isinstance(error.cause, ActivityTimeout):
        return "Call failed: its worker did not answer in time"
    return "Call failed with an internal error"
