"""The scheduler: which tasks run in this process.

A bounded number runs at once. The others wait; whose task is started next goes round the owners.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Generic, Protocol, TypeVar

from flowgram_core.concurrency.fair_queue import FairQueue
from flowgram_core.concurrency.time_limit import TimeLimit
from flowgram_core.hosting.errors import TaskOverLimit, TooManyTasks
from flowgram_core.hosting.live_log import LiveLog
from flowgram_core.journal.interface import NewTask, TaskRecord

_log = logging.getLogger(__name__)

_RETRY_AFTER: Final = 1.0


class Runner(Protocol):
    """Runs a task: what the scheduler knows of a `TaskRunner`."""

    record: TaskRecord
    accepted: bool

    def __hash__(self) -> int:
        """It is compared by identity."""
        ...

    @property
    def task_id(self) -> str:
        """The task."""
        ...

    @property
    def inputs_size(self) -> int:
        """Characters of its inputs."""
        ...

    @property
    def started(self) -> bool:
        """Whether it has left the queue."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        ...

    @property
    def live_log(self) -> LiveLog:
        """What is woken when no more will come."""
        ...

    def queue(self) -> None:
        """Lets it wait to start."""
        ...

    def start(self) -> None:
        """Starts it."""
        ...

    def accept(
        self, task: NewTask, begun: Callable[[Any], None]
    ) -> "tuple[asyncio.Future[TaskRecord], asyncio.Future[None]]":
        """Makes a new task durable, with its first step."""
        ...

    async def run(self) -> None:
        """Runs it to its end."""
        ...

    async def stop(self) -> None:
        """Ends what still runs for it."""
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...


_Runner = TypeVar("_Runner", bound=Runner)


class Scheduler(Generic[_Runner]):
    """Admits tasks, and decides which of them run.

    Args:
        max_running: How many run at once.
        max_waiting: How many may wait.
        max_inputs_bytes: About how many bytes the inputs of all of them may have.
        fail_task: Ends a task whose runner raised an unexpected error; gets its last record and a text for users.
        owner_of: Whose a task is; those that wait are started round-robin between owners.
    """

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        max_inputs_bytes: int,
        fail_task: Callable[[TaskRecord, str], Awaitable[None]],
        owner_of: Callable[[TaskRecord], str] = lambda _: "",
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._max_inputs_bytes = max_inputs_bytes
        self._fail_task = fail_task
        self._owner_of = owner_of
        self._runners: dict[str, _Runner] = {}
        self._active: dict[
            _Runner, asyncio.Future[None]
        ] = {}  # the commit that accepts it, then the asyncio task that runs it
        self._waiting: FairQueue[_Runner] = FairQueue()
        self._tasks_of: Counter[str] = Counter()  # by owner
        self._waiting_of: Counter[str] = Counter()
        self._first_owner: str | None = None
        self._is_shared = False  # whether there was a second owner
        self._running = 0
        self._reserved = 0  # slots of tasks that ran when the former process ended, and are not rebuilt yet
        self._inputs_size = 0
        self._closing = False
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether a new task has to wait."""
        return self._waiting.has_next or self._running + self._reserved >= self._max_running

    @property
    def running(self) -> int:
        """Tasks that run."""
        return self._running

    @property
    def waiting(self) -> int:
        """Tasks that wait to start."""
        return len(self._waiting)

    def get(self, task_id: str) -> _Runner | None:
        """The runner of a task, or None if it is not active here."""
        return self._runners.get(task_id)

    def tasks_of(self, owner: str) -> int:
        """How many tasks of an owner run and wait."""
        return self._tasks_of[owner]

    def check(self, inputs_size: int, owner: str = "") -> None:
        """Raises `TooManyTasks` if a new task cannot be admitted, not even to wait.

        Args:
            inputs_size: Characters of its inputs.
            owner: Whose task it is. As soon as there was more than one, each may have as many tasks waiting as there are slots
                left, so that whatever one does, there are some for the next.
        """
        if self._first_owner is None:
            self._first_owner = owner
        self._is_shared = self._is_shared or owner != self._first_owner
        if self.full and len(self._waiting) >= self._max_waiting:
            text = (
                f"{self._running} tasks are running and {len(self._waiting)} are waiting: "
                "the limits max_running_tasks and max_waiting_tasks are reached"
            )
            raise TooManyTasks(text, _RETRY_AFTER)
        if (
            self._is_shared
            and self.full
            and self._waiting_of[owner] >= self._max_waiting - len(self._waiting)
        ):
            text = (
                f"{self._waiting_of[owner]} tasks of this namespace are waiting: its share of max_waiting_tasks = "
                f"{self._max_waiting} is used up"
            )
            raise TooManyTasks(text, _RETRY_AFTER)
        if self._inputs_size and self._inputs_size + inputs_size > self._max_inputs_bytes:
            text = (
                f"the inputs of {len(self._runners)} tasks that are running and waiting have {self._inputs_size} bytes: "
                f"{inputs_size} more would be beyond the limit max_held_inputs_bytes = {self._max_inputs_bytes}"
            )
            raise TooManyTasks(text, _RETRY_AFTER)

    def admit(self, runner: _Runner, task: NewTask) -> asyncio.Future[TaskRecord]:
        """Admits a new task: it starts, or waits behind the others.

        Returns:
            Done once the task is durable, with its record, or failed if that was not possible. It may be cancelled at any time.
        """
        waits = self.full
        (runner.queue if waits else runner.start)()
        answer, self._active[runner] = runner.accept(task, self._accepted)
        self._add(runner, waits=waits)
        return answer

    def resume(self, runner: _Runner) -> None:
        """Admits a rebuilt task: it goes on if it had started, else it waits for `start_waiting`."""
        self._add(runner, waits=not runner.started)
        self._run_in_background(runner)

    def reserve(self, slots: int) -> None:
        """Reserves slots for tasks that are to be resumed."""
        self._reserved += slots

    def release(self) -> None:
        """Gives up one reserved slot: its task was resumed, or cannot be."""
        self._reserved -= 1

    def start_waiting(self) -> None:
        """Starts waiting tasks while there is capacity."""
        while (
            self._waiting.has_next
            and self._running + self._reserved < self._max_running
            and not self._closing
        ):
            runner = self._waiting.pop()
            self._count_waiting(self._owner_of(runner.record), -1)
            self._running += 1
            runner.start()

    async def ended(self, runner: _Runner) -> None:
        """Returns once a task is no longer active: it has ended, and so have its calls."""
        while (active := self._active.get(runner)) is not None:
            await asyncio.wait([active])

    async def drain(self, grace: float) -> None:
        """Starts nothing any more, wakes all watchers, and gives running tasks so many seconds to end."""
        self._closing = True
        for runner in list(self._runners.values()):
            runner.live_log.nudge()
        if grace > 0:
            waiting = set(self._waiting)  # none of them starts any more
            # Not `asyncio.timeout`, whose `TimeoutError` a task that is being cancelled does not get before Python 3.11.3.
            with suppress(TimeoutError), TimeLimit(asyncio.get_running_loop().call_later, grace):
                while running := [each for runner, each in self._active.items() if runner not in waiting]:
                    await asyncio.wait(running)

    async def close(self) -> None:
        """Stops all tasks; each is left as its log has it."""
        self._closing = self._closed = True
        while active := list(self._active.values()):
            for each in active:
                each.cancel()
            await asyncio.wait(active)

    def _add(self, runner: _Runner, *, waits: bool) -> None:
        owner = self._owner_of(runner.record)
        if waits:
            self._waiting.push(owner, runner)
            self._count_waiting(owner, 1)
        else:
            self._running += 1
        self._inputs_size += runner.inputs_size
        self._tasks_of[owner] = self._tasks_of.get(owner, 0) + 1
        self._runners[runner.task_id] = runner

    def _count_waiting(self, owner: str, change: int) -> None:
        self._waiting_of[owner] += change
        if not self._waiting_of[owner]:
            del self._waiting_of[owner]

    def _accepted(self, runner: _Runner) -> None:
        """The journal has answered on a new task."""
        if not runner.accepted or runner.finished or self._closed:
            self._remove(runner)
        else:
            self._run_in_background(runner)

    def _run_in_background(self, runner: _Runner) -> None:
        running = asyncio.create_task(self._run(runner), name=runner.task_id)
        self._active[runner] = running
        running.add_done_callback(lambda done: self._run_ended(runner, done))

    async def _run(self, runner: _Runner) -> None:
        try:
            await _run_and_stop(runner)
        except TaskOverLimit as error:
            reason = str(error)
        except Exception:  # noqa: BLE001 - a defect must not leave a task hanging
            _log.exception("a task failed with an internal error", extra={"task_id": runner.task_id})
            reason = "Task failed with an internal error"
        else:
            return
        await self._fail_task(runner.record, reason)

    def _run_ended(self, runner: _Runner, done: asyncio.Task[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            _log.error("a task could not be ended", exc_info=error, extra={"task_id": runner.task_id})
        self._remove(runner)

    def _remove(self, runner: _Runner) -> None:
        runner.close()  # it may have been cancelled before it ran
        del self._active[runner]
        del self._runners[runner.task_id]
        self._inputs_size -= runner.inputs_size
        owner = self._owner_of(runner.record)
        tasks = self._tasks_of[owner] - 1
        if tasks:
            self._tasks_of[owner] = tasks
        else:
            del self._tasks_of[owner]
        if not self._waiting:
            self._running -= 1
            return
        if self._waiting.discard(owner, runner):
            self._count_waiting(owner, -1)
        else:
            self._running -= 1
        self.start_waiting()


async def _run_and_stop(runner: Runner) -> None:
    # No `finally`: nothing may be awaited while an error is handled, see CONTRIBUTING.md on compiled modules.
    failure: BaseException | None = None
    try:
        await runner.run()
    except BaseException as error:  # noqa: BLE001 - it is raised again
        failure = error
    await runner.stop()
    try:
        if failure is not None:
            raise failure
    finally:
        failure = None  # it refers to this frame
