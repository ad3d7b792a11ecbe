"""The roster: the tasks that one process drives. So many run at once; the others wait their turn, first come first served."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.hosting.errors import TooManyTasks
from flowgram_core.journal.interface import NewTask, TaskRecord

_log = logging.getLogger(__name__)

_RETRY_AFTER: Final = 1.0


class Scheduler:
    """Drives tasks, and decides which of them run.

    Args:
        max_running: So many run at once.
        max_waiting: So many may wait.
        max_inputs_bytes: So many bytes the inputs of all of them may have, about.
        give_up: Ends a task that turned out not to be drivable; given its last record.
    """

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        max_inputs_bytes: int,
        give_up: Callable[[TaskRecord], Awaitable[None]],
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_inputs_bytes = max_inputs_bytes
        self._give_up = give_up
        self._hosts: dict[str, TaskRunner] = {}
        self._drives: dict[
            TaskRunner, asyncio.Future[None]
        ] = {}  # the commit that accepts it, then the task that runs it
        self._waiting: dict[TaskRunner, None] = {}  # in the order of their turns
        self._running = 0
        self._inputs_size = 0
        self._closing = False
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether a new task has to wait."""
        return bool(self._waiting) or self._running >= self._max_running

    def get(self, task_id: str) -> TaskRunner | None:
        """The host of a task, or None if it is not driven here."""
        return self._hosts.get(task_id)

    def check(self, inputs_size: int) -> None:
        """Raises `TooManyTasks` where a new task with inputs of this size could not even wait."""
        if self.full and len(self._waiting) >= self._max_waiting:
            text = (
                f"{self._running} tasks are running and {len(self._waiting)} are waiting: "
                "the limits max_running_tasks and max_waiting_tasks are reached"
            )
            raise TooManyTasks(text, _RETRY_AFTER)
        if self._inputs_size and self._inputs_size + inputs_size > self._max_inputs_bytes:
            text = (
                f"the inputs of {len(self._hosts)} tasks that are running and waiting have {self._inputs_size} bytes: "
                f"{inputs_size} more would be beyond the limit max_held_inputs_bytes = {self._max_inputs_bytes}"
            )
            raise TooManyTasks(text, _RETRY_AFTER)

    def admit(self, host: TaskRunner, task: NewTask) -> asyncio.Future[None]:
        """Drives a new task: it starts, or is put at the end of those that wait.

        Returns:
            Done once the task is durable, or failed if it could not be made so. It may be cancelled at will.
        """
        waits = self.full
        (host.queue if waits else host.start)()
        answer, self._drives[host] = host.accept(task, lambda: self._begun(host))
        self._add(host, waits=waits)
        return answer

    def resume(self, host: TaskRunner) -> None:
        """Drives a task that was rebuilt: it goes on if it had started, else it waits for `start_waiting`."""
        self._add(host, waits=not host.started)
        self._drive_on(host)

    def start_waiting(self) -> None:
        """Starts as many of those that wait as there are places."""
        while self._waiting and self._running < self._max_running and not self._closing:
            host = next(iter(self._waiting))
            del self._waiting[host]
            self._running += 1
            host.start()

    async def ended(self, host: TaskRunner) -> None:
        """Returns once a task that was driven is driven no longer: it has ended, and so have its calls."""
        while (drive := self._drives.get(host)) is not None:
            await asyncio.wait([drive])

    async def drain(self, grace: float) -> None:
        """Starts nothing any more, wakes all watchers, and gives those that run so many seconds to end."""
        self._closing = True
        for host in list(self._hosts.values()):
            host.live_log.nudge()
        if grace > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    while running := [
                        each for host, each in self._drives.items() if host not in self._waiting
                    ]:
                        await asyncio.wait(running)

    async def close(self) -> None:
        """Stops driving; every task is left as its log has it."""
        self._closing = self._closed = True
        while drives := list(self._drives.values()):
            for drive in drives:
                drive.cancel()
            await asyncio.wait(drives)

    def _add(self, host: TaskRunner, *, waits: bool) -> None:
        if waits:
            self._waiting[host] = None
        else:
            self._running += 1
        self._inputs_size += host.inputs_size
        self._hosts[host.task_id] = host

    def _begun(self, host: TaskRunner) -> None:
        """The journal has answered on a new task."""
        if not host.accepted or host.finished or self._closed:
            self._leave(host)
        else:
            self._drive_on(host)

    def _drive_on(self, host: TaskRunner) -> None:
        drive = asyncio.create_task(self._drive(host), name=host.task_id)
        self._drives[host] = drive
        drive.add_done_callback(lambda done: self._driven(host, done))

    async def _drive(self, host: TaskRunner) -> None:
        try:
            await host.run()
        except Exception:  # noqa: BLE001 - a mistake of ours must not leave a task hanging
            _log.exception("a task could not be driven on", extra={"task_id": host.task_id})
            await self._give_up(host.record)

    def _driven(self, host: TaskRunner, drive: asyncio.Task[None]) -> None:
        if not drive.cancelled() and (error := drive.exception()) is not None:
            _log.error("a task could not be ended", exc_info=error, extra={"task_id": host.task_id})
        self._leave(host)

    def _leave(self, host: TaskRunner) -> None:
        host.leave()  # it may have been stopped before it began
        del self._drives[host]
        del self._hosts[host.task_id]
        self._inputs_size -= host.inputs_size
        if host in self._waiting:
            del self._waiting[host]
        else:
            self._running -= 1
        self.start_waiting()
