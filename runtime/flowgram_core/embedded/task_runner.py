"""The task runner: runs one task by driving its `Execution` with asyncio.

It applies activations to the core, commits the events of each step, and only then publishes them and executes the
commands. This order guarantees that nothing observed is ever lost.

The first step of a new task is part of its acceptance. Most small workflows end in it, and never need a coroutine of their
own.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from flowgram_core.concurrency.cancellation import is_canceled
from flowgram_core.concurrency.clock import Timer
from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.concurrency.wake_up import WakeUp
from flowgram_core.embedded.running_calls import RunningCalls
from flowgram_core.embedded.services import Services
from flowgram_core.engine.activations import (
    Activation,
    Cancel,
    Fail,
    Queue,
    Start,
    TimeOut,
    to_json,
)
from flowgram_core.engine.events import Event
from flowgram_core.engine.execution import Execution
from flowgram_core.engine.node_type import Command
from flowgram_core.engine.step import Step
from flowgram_core.hosting.errors import ShuttingDown, TaskOverLimit
from flowgram_core.hosting.live_log import LiveLog
from flowgram_core.hosting.observation import TaskObserver
from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Finish, NewTask, TaskRecord, Write
from flowgram_core.modeling import json_text
from flowgram_core.modeling.meter import WorkSuspended
from flowgram_core.modeling.status import Status

_log = logging.getLogger(__name__)

_BREATH: Final = 0.0002
"""Seconds that a thread leaves the interpreter to others after about a millisecond of work."""

_MEMORY_PER_CHARACTER: Final = 8
"""Bytes of memory that an outcome which waits takes for a character of its text, about."""

_KEPT_INPUTS: Final = 4096
"""Characters of inputs that a task keeps as text; longer ones are read from the journal when they are asked for."""

_SLICE: Final = 0.001
_FIRST_SLICE: Final = 0.004
"""Seconds that the core works without a pause; encoding the events takes about as long again. The first slice is longer:
most workflows end in it, and one more commit would cost them more.
"""


class TaskRunner:
    """Runs one task from its acceptance, or from where a crash left it, to its end.

    Attributes:
        task_id: The task.
        owner: The task, and the namespace that it belongs to.
        services: Its collaborators.
        live_log: The live end of its log.
        record: The task as of the last commit; its inputs only if they are small, else "".
        inputs_size: Characters of its inputs as text, the least that they take in memory.
        accepted: Whether the task is known to be durable.
    """

    def __init__(
        self,
        record: TaskRecord,
        execution: Execution,
        services: Services,
        log_bytes: int = 0,
        trace: str | None = None,
    ) -> None:
        self.task_id = record.task_id
        self.owner = Owner(record.namespace, record.task_id)
        self.services = services
        self.inputs_size = len(record.inputs)
        self.record = record if self.inputs_size <= _KEPT_INPUTS else record._replace(inputs="")
        self.live_log = LiveLog(services.settings.tail_bytes, record.last_sequence)
        self.accepted = False
        self._is_stopped = False
        self._execution = execution
        self._log_bytes = log_bytes
        self._inbox: list[tuple[Activation, str]] = []  # a deque takes 760 bytes when it is empty
        self._interrupt: Cancel | TimeOut | Fail | None = None
        self._wake = WakeUp()
        self._calls: RunningCalls | None = None  # most tasks make none
        self._timer: Timer | None = None
        self._thread_work: Future[None] | None = None
        self._events: list[Event] = []  # what the observer is notified of once it is durable
        self._trace = trace
        self._observer: TaskObserver | None = None
        if services.observer is not None:
            self._observer = services.observer.task(self.record, execution.program.document, trace)
        services.memory.add(self, execution.program, execution.held_memory)

    @property
    def started(self) -> bool:
        """Whether it has left PENDING."""
        return self._execution.status is not Status.PENDING

    @property
    def finished(self) -> bool:
        """Whether the task has ended."""
        return self._execution.finished is not None

    def start(self) -> None:
        """Starts the task."""
        first = not self._execution.sequence and not self._inbox
        pins, trace = (self.services.pins, self._trace) if first else (None, None)
        self._post(Start(self.services.clock.now(), pins, trace))

    def queue(self) -> None:
        """Queues the task: it waits until `start`."""
        self._post(Queue(self.services.clock.now(), self.services.pins, self._trace))

    def cancel(self, reason: str) -> bool:
        """Asks the task to stop; False if it is ending already."""
        if self._interrupt is not None or self._execution.finished is not None:
            return False
        self._interrupt = Cancel(self.services.clock.now(), reason)
        self._interrupted()
        return True

    def close(self) -> None:
        """Wakes everybody who waits for the task: it is no longer active."""
        self.live_log.end()
        self.services.memory.remove(self, self._execution.program)
        # Where it was stopped, a thread may still work on it; the process is about to end.
        if not self._is_stopped and (remains := self._execution.release()):
            self.services.disposer.free(remains)
        if self._observer is not None:
            self._observer.closed()
        if self._timer is not None:
            self._timer.cancel()

    def accept(
        self, task: NewTask, begun: Callable[["TaskRunner"], None]
    ) -> tuple["asyncio.Future[TaskRecord]", "asyncio.Future[None]"]:
        """Does a first short step of a new task, and commits it together with the task's acceptance.

        Args:
            task: The task; `start` or `queue` was called already.
            begun: Called with this runner when the journal has answered, after the step was published.

        Returns:
            A future for the caller, of the task's record, and the journal's own: both are done once the task is durable, or failed
            if that was not possible. The first may be cancelled at any time. Cancelling the second stops the task, and leaves open whether
            it becomes durable.
        """
        step = self._new_step()
        self._work(step, _FIRST_SLICE)
        write = self._write(step, task)
        answer: asyncio.Future[TaskRecord] = asyncio.get_running_loop().create_future()
        committed = self.services.journal.commit(write)
        committed.add_done_callback(partial(self._accepted, answer, write, step.commands, begun))
        return answer, committed

    def _accepted(
        self,
        answer: "asyncio.Future[TaskRecord]",
        write: Write,
        commands: Sequence[Command],
        begun: Callable[["TaskRunner"], None],
        committed: "asyncio.Future[None]",
    ) -> None:
        error = ShuttingDown() if committed.cancelled() else committed.exception()
        if error is None:
            self.accepted = True
            self._publish(write, commands)
        elif isinstance(error, JournalUnavailable):
            self.services.storage.failing = True
        begun(self)
        if answer.done():  # the caller is gone
            return
        if error is None:
            answer.set_result(self.record)
        else:
            answer.set_exception(error)

    async def run(self) -> None:
        """Runs the task until it ends; `stop` has to follow. If cancelled, it leaves the task as the log has it."""
        try:
            if not self.accepted:
                self._resume()
            while self._execution.finished is None:
                await self._step()
        except asyncio.CancelledError:
            self._is_stopped = True
            raise

    async def stop(self) -> None:
        """Ends what still runs for the task, which has ended or goes on after a restart."""
        self.close()
        if self._calls is not None:
            await self._calls.stop()
            self._calls = None  # it refers to this object: thousands of tasks that end at once are no garbage to look for

    def _resume(self) -> None:
        """Continues after a restart: calls without an outcome are made again, and the time-out is what was left of it."""
        self.accepted = True
        if self._execution.status is Status.PROCESSING:
            self._set_timer(earlier=True)
        if calls := self._execution.running_calls():
            self._perform(calls)

    def _post(self, given: Activation, text: str | None = None) -> None:
        self._inbox.append((given, text or to_json(given)))
        self._wake.set()

    def _next_input(self) -> tuple[Activation, str] | None:
        if self._interrupt is not None:
            return self._interrupt, to_json(self._interrupt)
        if self._inbox and not self._execution.has_work:
            return self._inbox.pop(0)
        return None

    def fail(self, error: str) -> None:
        """Ends the task as FAILED, whatever it does; the error is for users."""
        if self._interrupt is None and self._execution.finished is None:
            self._interrupt = Fail(self.services.clock.now(), error)
            self._interrupted()

    def _interrupted(self) -> None:
        """The task is to be ended: it stops what it does and waits for."""
        self._wake.set()
        if self._thread_work is not None:
            self._thread_work.cancel()  # it may not have begun

    async def _step(self) -> None:
        """Waits for work, lets the core do it, commits the events, and publishes them.

        Raises:
            TaskOverLimit: Its log has become too large.
        """
        storage = self.services.storage
        if storage.exhausted and self._interrupt is None:
            storage.wake_when_room(self._wake)
            await self._wake.wait()
            return
        if self._interrupt is None and not self._inbox and not self._execution.has_work:
            # Mostly for the outcome of a call; to look for work in vain costs as much as a short step.
            await self._wake.wait()
            return
        step, fairness = self._new_step(), self.services.fairness
        await fairness.time_slice()
        while self._work(step):
            await asyncio.sleep(0)  # others that are ready need not be in the fairness queue
            await fairness.time_slice()
        if not step.batches and self._execution.is_suspended:
            await self._work_in_thread(step)
        if step.batches:
            write = self._write(step)
            await self._commit(write)
            self._publish(write, step.commands)
            self._check_log_size(write)
        elif not self._execution.has_work:
            await self._wake.wait()

    def _check_log_size(self, write: Write) -> None:
        """Adds what was committed; the limit may be passed by one step. Raises `TaskOverLimit`."""
        self._log_bytes += sum(len(batch.events) for batch in write.batches)
        limit = self.services.settings.max_task_log_bytes
        if limit and self._log_bytes > limit and write.finish is None:
            raise TaskOverLimit(
                f"Task has {self._log_bytes} bytes of events: the limit max_task_log_bytes is {limit}"
            )

    def _work(self, step: Step[Batch], seconds: float = _SLICE) -> bool:
        """Lets the core work for a time slice; says whether it may continue before the commit."""
        monotonic, execution, register = time.monotonic, self._execution, self.services.register
        until = monotonic() + seconds
        slot = register.begin(self.task_id)
        try:
            return step.work(
                execution, self._next_input, self.services.clock.now, lambda: monotonic() >= until
            )
        finally:
            register.end(slot)
            if execution.unexpected_errors:
                self._log_unexpected_errors()
            self._count_memory()

    async def _work_in_thread(self, step: Step[Batch]) -> None:
        """Lets a thread do the node run that takes long, unless the task is to end before."""
        if self._interrupt is not None:
            return
        stopped = False

        def checkpoint() -> None:
            if stopped or self._interrupt is not None:
                raise WorkSuspended
            time.sleep(_BREATH)  # the event loop first

        def work() -> None:
            slot = self.services.register.begin(self.task_id)
            try:
                with json_text.writing_in_pieces():
                    step.work_suspended(self._execution, self.services.clock.now, checkpoint)
            finally:
                self.services.register.end(slot)

        self._thread_work = running = self.services.threads.submit(self.owner, work)
        try:
            await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            stopped = True
            if not running.cancelled() or is_canceled():
                raise
        finally:
            self._thread_work = None
            self._log_unexpected_errors()
            self._count_memory()

    def _count_memory(self) -> None:
        held = self._execution.held_memory
        if self._inbox:
            held += _MEMORY_PER_CHARACTER * sum(len(text) for _, text in self._inbox)
        self.services.memory.update(self, held)

    def _log_unexpected_errors(self) -> None:
        errors = self._execution.unexpected_errors
        while errors:
            node_id, inputs, error = errors.pop()
            secrets = self.services.secrets.values(inputs)
            log_unexpected_error(error, secrets, task_id=self.task_id, node_id=node_id)

    def _new_step(self) -> Step[Batch]:
        services = self.services
        settings = services.settings
        encode = services.codec.encode if self._observer is None else self._encode
        return Step(settings.step_budget, settings.step_bytes, encode, Batch)

    def _encode(self, events: Sequence[Event]) -> bytes:
        self._events += events
        return self.services.codec.encode(events)

    def _write(self, step: Step[Batch], accept: NewTask | None = None) -> Write:
        """The write that makes a step durable."""
        execution = self._execution
        finish = None
        if (finished := execution.finished) is not None:
            finish = Finish(finished.status, finished.end_time, self.services.codec.encode_result(finished))
        started = (execution.start_time or None) if self.record.start_time is None else None
        return Write(self.task_id, accept, tuple(step.batches), started, finish)

    def _publish(self, write: Write, commands: Sequence[Command]) -> None:
        """Publishes what has become durable, and executes the commands."""
        execution, finish = self._execution, write.finish
        former = None if write.accept is not None else self.record.status
        self.record = self.record.moved(
            execution.status,
            execution.start_time or None,
            None if finish is None else finish.end_time,
            write.batches[-1].last_sequence,
            None if finish is None else finish.result,
        )
        self.services.changed(self.record, former)
        if finish is not None and former is not None:  # whoever has it accepted gets the record otherwise
            self.services.recently_ended.add(self.record)
        if self._observer is not None:
            events, self._events = self._events, []
            self._observer.committed(self.record, events)
        self.live_log.publish(write.batches)
        if commands:
            self._perform(commands)
        # Most tasks without calls have ended by now, and need no timer.
        if finish is None and self._timer is None and execution.status is Status.PROCESSING:
            self._set_timer(earlier=False)

    async def _commit(self, write: Write) -> None:
        """Commits; while the journal is unavailable the task waits, and nothing of the step is published."""
        delays = retry_delays()
        while True:
            try:
                await self.services.journal.commit(write)
            except JournalUnavailable as error:
                self.services.storage.failing = True
                # Many tasks may wait, for long: one line each, without a traceback.
                _log.error("cannot commit, retrying: %s", error, extra={"task_id": self.task_id})
            else:
                return
            await self.services.clock.sleep(next(delays))

    def _set_timer(self, *, earlier: bool) -> None:
        """Sets the time-out: what is left of it, not counting the time in which no server ran."""
        limit = self.record.timeout
        if limit is not None:
            self._timer = self.services.uptime.call_at_age(
                self._execution.start_time, limit, lambda: self._time_out(limit), earlier=earlier
            )

    def _time_out(self, limit: int) -> None:
        if self._interrupt is None and self._execution.finished is None:
            self._interrupt = TimeOut(self.services.clock.now(), limit)
            self._interrupted()

    def _perform(self, commands: Sequence[Command]) -> None:
        if self._calls is None:
            self._calls = RunningCalls(self.owner, self.live_log, self.services, self._observer, self._post)
        self._calls.perform(commands)
