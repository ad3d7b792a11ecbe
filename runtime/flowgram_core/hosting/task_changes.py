"""Changes of tasks: which tasks were accepted, changed their status or were removed, for those that watch lists.

Watchers hold a cursor, not a queue. The recent changes are kept once for all watchers, the latest one of each task, up to a
bounded size; a watcher reads those after its cursor at its own pace. One that falls behind what is kept has to list again.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Final, NamedTuple

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.waiters import Waiters
from flowgram_core.hosting.errors import WatcherBehind
from flowgram_core.journal.interface import TaskRecord

_INTERVAL: Final = 0.1
"""Seconds between two answers to one watcher: several changes of one task in between are one."""

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
    """

    statuses: frozenset[int] = frozenset()
    labels: Mapping[str, str] = {}


class TaskChanges(NamedTuple):
    """What changed. Empty: nothing did, for as long as the watcher asked for heartbeats.

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


class TaskChangeLog:
    """The recent changes of all tasks, as long as somebody watches.

    Args:
        clock: Tells when the next answer to a watcher is due.
        check_open: Raises an error when the service ends.
    """

    def __init__(
        self,
        clock: Clock,
        check_open: Callable[[], None],
        *,
        kept: int = _KEPT,
        kept_characters: int = _KEPT_CHARACTERS,
    ) -> None:
        self._clock = clock
        self._check_open = check_open
        self._kept = kept
        self._kept_characters = kept_characters
        self._changes: dict[str, _Change] = {}  # by task, in the order of their numbers
        self._characters = 0
        self._number = 0
        self._dropped = 0  # the number of the last change that was dropped
        self._watchers = 0
        self._waiters = Waiters()

    def changed(self, record: TaskRecord, former: int | None) -> None:
        """A task has another status, and is durable in it.

        Args:
            record: The task as it is now.
            former: Its status before; None for a task that was just accepted.
        """
        if self._watchers and record.status != former:
            statuses = {record.status} if former is None else {record.status, former}
            self._add(record.task_id, record._replace(inputs="", result=None), frozenset(statuses))

    def removed(self, task_ids: Iterable[str]) -> None:
        """Tasks are no longer there."""
        if self._watchers:
            for task_id in task_ids:
                self._add(task_id, None, frozenset())

    def wake(self) -> None:
        """Wakes all watchers, to check the state of the service."""
        self._waiters.wake()

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
        self._watchers += 1
        cursor = self._number
        try:
            yield TaskChanges()
            while True:
                self._check_open()
                if cursor < self._dropped:
                    raise WatcherBehind
                found, cursor = self._since(cursor, wanted)
                caught_up = cursor == self._number
                if found.tasks or found.removed:
                    yield found
                    if caught_up:
                        await self._clock.sleep(_INTERVAL)
                elif caught_up and not await self._waiters.wait(self._clock, heartbeat):
                    yield TaskChanges()
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._changes.clear()
                self._characters = 0

    def _add(self, task_id: str, record: TaskRecord | None, statuses: frozenset[int]) -> None:
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
        self._number += 1
        self._changes[task_id] = _Change(self._number, record, statuses, size)
        self._characters += size
        while len(self._changes) > self._kept or self._characters > self._kept_characters:
            oldest = self._changes.pop(next(iter(self._changes)))
            self._characters -= oldest.size
            self._dropped = oldest.number
        self._waiters.wake()

    def _since(self, cursor: int, wanted: TaskFilter) -> tuple[TaskChanges, int]:
        """Some of the changes after a cursor that fit, and the cursor behind them."""
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
