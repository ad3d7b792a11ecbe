"""Changes of tasks: which tasks were accepted, changed their status or were removed, for those that watch lists.

Watchers hold a cursor, not a queue. The recent changes are kept once for all watchers of a namespace, the latest one of each
task, up to a bounded size; a watcher reads those after its cursor at its own pace. One that falls behind what is kept has to list again.
Watchers with the same filter and cursor share what is found for the first of them. The more watchers there are, the less often each
is answered, so that thousands leave time for everything else.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.waiters import Waiters
from flowgram_core.hosting.errors import WatcherBehind
from flowgram_core.journal.interface import RemovedTask, TaskRecord
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

_INTERVAL: Final = 0.1
"""Seconds between two answers to one watcher: several changes of one task in between are one."""
_INTERVAL_PER_WATCHER: Final = 0.0005
"""More seconds for each further watcher: an answer takes a third of that to send."""

_AT_ONCE: Final = 1000
"""So many changes are given at once; the contract promises no more."""

_KEPT: Final = 10_000
_KEPT_CHARACTERS: Final = 8 * 1024 * 1024
"""So many changes are kept, and so many characters of their labels and names."""


class TaskFilter(NamedTuple):
    """Which tasks to watch.

    Attributes:
        statuses: Only tasks in one of these; empty means all.
        labels: Only tasks that carry all of these.
        namespace: Whose tasks.
    """

    statuses: frozenset[int] = frozenset()
    labels: Mapping[str, str] = {}
    namespace: str = DEFAULT_NAMESPACE


class TaskChanges(NamedTuple):
    """What changed. Empty: nothing did, for as long as the watcher asked for heartbeats. Several watchers may get the same object.

    Attributes:
        tasks: Tasks as they are now, without inputs and results.
        removed: The ids of tasks that are no longer there.
    """

    tasks: tuple[TaskRecord, ...] = ()
    removed: tuple[str, ...] = ()


class _Change(NamedTuple):
    """The latest change of a task.

    Attributes:
        number: Grows from change to change.
        record: The task as it is now; None if it was removed.
        statuses: All statuses that it had in the changes that this one stands for, and before the first of them.
        size: Characters of its labels and its name.
    """

    number: int
    record: TaskRecord | None
    statuses: frozenset[int]
    size: int


async def _at_once() -> None:
    """The time slice of those who share no event loop with others."""


_Question = tuple[int, frozenset[int], frozenset[tuple[str, str]]]
"""A cursor, and what a filter wants."""
_REMEMBERED: Final = 64
"""Questions whose answers are kept for the next watcher that has the same one."""
_NOTHING: Final = TaskChanges()


class TaskChangeLog:
    """The recent changes of all tasks, apart by namespace: of those of which somebody watches the tasks.

    Args:
        clock: Tells when the next answer to a watcher is due.
        check_open: Raises an error when the service ends.
        time_slice: Waited for before each answer: shares the event loop with everything else on it.
        kept: So many changes are kept, of all namespaces together.
        kept_characters: So many characters of their labels and names.

    Attributes:
        watchers: How many there are.
    """

    def __init__(
        self,
        clock: Clock,
        check_open: Callable[[], None],
        time_slice: Callable[[], Awaitable[None]] = _at_once,
        *,
        kept: int = _KEPT,
        kept_characters: int = _KEPT_CHARACTERS,
    ) -> None:
        self._clock = clock
        self._check_open = check_open
        self._time_slice = time_slice
        self.watchers = 0
        self._kept = kept
        self._kept_characters = kept_characters
        self._logs: dict[str, _NamespaceLog] = {}

    def changed(self, record: TaskRecord, former: int | None) -> None:
        """A task has another status, and is durable in it.

        Args:
            record: The task as it is now.
            former: Its status before; None for a task that was just accepted.
        """
        log = self._logs.get(record.namespace)
        if log is not None and record.status != former:
            statuses = {record.status} if former is None else {record.status, former}
            log.add(record.task_id, record._replace(inputs="", result=None), frozenset(statuses), self._clock)
            self._trim(log)

    def removed(self, tasks: Iterable[RemovedTask]) -> None:
        """Tasks are no longer there."""
        for task in tasks:
            log = self._logs.get(task.namespace)
            if log is not None:
                log.add(task.task_id, None, frozenset(), self._clock)
                self._trim(log)

    def wake(self) -> None:
        """Wakes all watchers, to check the state of the service."""
        for log in self._logs.values():
            log.waiters.wake()

    async def watch(
        self, wanted: TaskFilter, heartbeat: float | None = None
    ) -> AsyncGenerator[TaskChanges, None]:
        """The changes from now on, without an end; the first item is empty, and says that nothing is missed from here on.

        A task that no longer fits the filter is given once more, as it is now.

        Args:
            wanted: Which tasks.
            heartbeat: Give empty changes after so many seconds without any.

        Raises:
            WatcherBehind: Changes were dropped before they were read.
        """
        self._check_open()
        log = self._logs.get(wanted.namespace)
        if log is None:
            log = self._logs[wanted.namespace] = _NamespaceLog()
        log.watchers += 1
        self.watchers += 1
        cursor = log.number
        try:
            yield TaskChanges()
            while True:
                await self._time_slice()
                self._check_open()
                if cursor < log.dropped:
                    raise WatcherBehind
                found, cursor = log.since(cursor, wanted)
                caught_up = cursor == log.number
                if found.tasks or found.removed:
                    yield found
                    if caught_up:
                        await self._clock.sleep(_INTERVAL + _INTERVAL_PER_WATCHER * (self.watchers - 1))
                elif caught_up and not await log.waiters.wait(self._clock, heartbeat):
                    yield TaskChanges()
        finally:
            self.watchers -= 1
            log.watchers -= 1
            if not log.watchers:
                del self._logs[wanted.namespace]

    def _trim(self, log: "_NamespaceLog") -> None:
        """Each namespace keeps its share: the changes of one do not push out those of another."""
        shares = len(self._logs)
        log.trim(max(self._kept // shares, 1), self._kept_characters // shares)


class _NamespaceLog:
    """The recent changes of the tasks of one namespace.

    Attributes:
        number: Of the latest change.
        dropped: The number of the last change that was dropped.
        watchers: How many there are.
        waiters: Those that have read everything.
    """

    def __init__(self) -> None:
        self.number = 0
        self.dropped = 0
        self.watchers = 0
        self.waiters = Waiters()
        self._changes: dict[str, _Change] = {}  # by task, in the order of their numbers
        self._characters = 0
        self._found: dict[_Question, tuple[TaskChanges, int]] = {}  # as long as nothing else changes

    def add(self, task_id: str, record: TaskRecord | None, statuses: frozenset[int], clock: Clock) -> None:
        """Adds a change of a task; what it stands for is one with the changes of that task before."""
        if (earlier := self._changes.pop(task_id, None)) is not None:
            self._characters -= earlier.size
            statuses |= earlier.statuses
        size = 0
        if record is not None:
            size = (
                len(record.display_name)
                + sum(map(len, record.labels))
                + sum(map(len, record.labels.values()))
            )
        self.number += 1
        self._found.clear()
        self._changes[task_id] = _Change(self.number, record, statuses, size)
        self._characters += size
        self.waiters.wake_gently(clock)

    def trim(self, kept: int, kept_characters: int) -> None:
        """Drops the oldest changes, until there are no more than these."""
        while len(self._changes) > kept or self._characters > kept_characters:
            oldest = self._changes.pop(next(iter(self._changes)))
            self._characters -= oldest.size
            self.dropped = oldest.number

    def since(self, cursor: int, wanted: TaskFilter) -> tuple[TaskChanges, int]:
        """Some of the changes after a cursor that fit, and the cursor behind them."""
        if cursor == self.number:
            return _NOTHING, cursor
        question = cursor, wanted.statuses, frozenset(wanted.labels.items())
        found = self._found.get(question)
        if found is None:
            found = self._search(cursor, wanted)
            if len(self._found) < _REMEMBERED:
                self._found[question] = found
        return found

    def _search(self, cursor: int, wanted: TaskFilter) -> tuple[TaskChanges, int]:
        newer: list[tuple[str, _Change]] = []
        for task_id, change in reversed(self._changes.items()):
            if change.number <= cursor:
                break
            newer.append((task_id, change))
        tasks: list[TaskRecord] = []
        removed: list[str] = []
        for task_id, change in newer[: -_AT_ONCE - 1 : -1]:
            cursor = change.number
            if change.record is None:
                removed.append(task_id)
            elif wanted.statuses and wanted.statuses.isdisjoint(change.statuses):
                continue
            elif wanted.labels.items() <= change.record.labels.items():
                tasks.append(change.record)
        return TaskChanges(tuple(tasks), tuple(removed)), cursor
