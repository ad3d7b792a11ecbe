"""The calls of one task: those that run as activities, and those that wait because more at once would be too many."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from temporalio import workflow
from temporalio.exceptions import ActivityError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from flowgram_core.engine.activations import Activation, CallFailed, from_json
from flowgram_core.engine.node_type import Call, CancelCall, Command
from flowgram_core.temporal.call_activity import CallRequest
from flowgram_core.temporal.history_writer import RETRY, HistoryWriter
from flowgram_core.temporal.names import CALL
from flowgram_core.temporal.record import Record, digest, split_digest
from flowgram_core.temporal.task_input import TaskInput

_CALL_TIMEOUT: Final = timedelta(days=3650)
"""Calls have a time limit of their own; a worker that dies shows by its silence."""
_MAX_ACTIVITY_ID: Final = 200


class TaskCalls:
    """Begins and stops the calls of a task in one run of its workflow.

    Args:
        task: The task.
        secret_names: Node inputs that are secret in it.
        writer: Writes the history.
        take: Takes in an outcome.

    Attributes:
        diverged: Whether a call has carried another record than this version would have given it.
    """

    def __init__(
        self,
        task: TaskInput,
        secret_names: Iterable[str],
        writer: HistoryWriter,
        take: Callable[[Activation], None],
    ) -> None:
        self.diverged = False
        self._shape = task.shape
        self._trace = task.trace
        self._secret_names = tuple(sorted(secret_names))
        self._writer = writer
        self._take = take
        self._running: dict[str, workflow.ActivityHandle[bytes]] = {}
        self._waiting: deque[Call] = deque()

    @property
    def any_running(self) -> bool:
        """Whether any call has begun and not ended."""
        return bool(self._running)

    @property
    def can_begin(self) -> bool:
        """Whether a call waits, and may begin."""
        return bool(self._waiting) and len(self._running) < self._shape.parallel_calls

    def add(self, commands: Iterable[Command]) -> None:
        """Calls that are to be made, among what a step wants."""
        self._waiting += (command for command in commands if isinstance(command, Call))

    def cancel(self, commands: Sequence[Command]) -> None:
        """Stops calls: those that commands of a step name."""
        for command in commands:
            if isinstance(command, CancelCall):
                handle = self._running.pop(command.key, None)
                if handle is not None:
                    handle.cancel()
                else:
                    self._waiting = deque(call for call in self._waiting if call.key != command.key)

    async def begin(self, record: Record | None, is_interrupted: Callable[[], bool]) -> None:
        """Begins the calls that wait, as far as there may be more at once, until something interrupts the task.

        Args:
            record: What the first one carries; there has to be one that can begin.
            is_interrupted: Whether the task is to end: to begin a call may take several workflow tasks.
        """
        while self.can_begin:
            request = CallRequest(self._waiting[0], self._secret_names, self._trace).encode()
            carried = b""
            if record is not None:
                carried = record.encode()
                self._writer.carry(record, carried, len(request))
                record = None
            else:
                await self._writer.make_room(len(request))
                if is_interrupted() or not self._waiting:
                    return
            self._begin(self._waiting.popleft(), request, carried)

    def _begin(self, call: Call, request: bytes, carried: bytes) -> None:
        handle: workflow.ActivityHandle[bytes] = workflow.start_activity(
            CALL,
            args=[carried, request],
            activity_id=call.key if len(call.key) <= _MAX_ACTIVITY_ID else digest(call.key.encode()).hex(),
            start_to_close_timeout=_CALL_TIMEOUT,
            heartbeat_timeout=timedelta(milliseconds=self._shape.heartbeat_timeout),
            retry_policy=RETRY,
            result_type=bytes,
        )
        self._running[call.key] = handle
        handle.add_done_callback(partial(self._ended, call.key, digest(carried)))

    def _ended(self, key: str, proof: bytes, handle: "asyncio.Task[bytes]") -> None:
        """Takes in the outcome of a call. Its time is the workflow's: a task has one clock."""
        if self._running.get(key) is not handle or handle.cancelled():
            return  # it was stopped, or the worker puts the task out of memory
        del self._running[key]
        error = handle.exception()
        if isinstance(error, ActivityError):
            outcome: Activation = CallFailed(workflow_time(), key, _text_of(error))
        elif error is not None:
            raise error
        else:
            given, text = split_digest(handle.result())
            if given != proof:
                self.diverged = True
                return
            outcome = from_json(text.decode("utf-8", "surrogatepass"))._replace(at=workflow_time())
        self._take(outcome)


def workflow_time() -> int:
    """The time of the workflow, in microseconds since the epoch."""
    return workflow.time_ns() // 1000


def _text_of(error: ActivityError) -> str:
    """What users read of a call that failed past its node type."""
    if isinstance(error.cause, ActivityTimeout):
        return "Call failed: its worker did not answer in time"
    return "Call failed with an internal error"
