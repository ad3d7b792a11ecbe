"""Admission: whether a new task may be accepted now, by counts of the cluster's visibility store."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.hosting.errors import TooManyTasks
from flowgram_core.hosting.quotas import Quotas, StartRates

CountOpenTasks = Callable[[str | None], Awaitable[int]]
"""How many tasks of a namespace, or of all, have not ended."""

_MAX_AGE: Final = 1_000_000
"""Microseconds for which a count holds."""
_RETRY: Final = 1.0
_MAX_NAMESPACES: Final = 10_000


class Admission:
    """Decides about the new tasks of one server. Others decide by the same counts: the limits may be passed by what they accept at once.

    Args:
        count_open_tasks: Asks the cluster.
        max_open_tasks: So many tasks may be open in all namespaces together; 0: no limit.
        quotas: What each namespace may have; rates of starts are this server's own.
        clock: Tells how old a count is.
    """

    def __init__(
        self, count_open_tasks: CountOpenTasks, max_open_tasks: int, quotas: Quotas, clock: Clock
    ) -> None:
        self._count_open_tasks = count_open_tasks
        self._max_open_tasks = max_open_tasks
        self._quotas = quotas
        self._clock = clock
        self._start_rates = StartRates(quotas, clock.now)
        self._all = _Count(partial(count_open_tasks, None), clock)
        self._by_namespace: dict[str, _Count] = {}  # of those with a quota

    async def check(self, namespace: str) -> None:
        """Raises the error that says why a namespace can have no new task now.

        Raises:
            TooManyTasks: As many tasks are open as may be.
            QuotaExceeded: The namespace has reached a limit of its own.
            JournalUnavailable: The tasks cannot be counted.
        """
        limit = self._max_open_tasks
        if limit and await self._all.value() >= limit:
            raise TooManyTasks(f"{limit} tasks are open: the limit max_open_tasks is reached", _RETRY)
        if self._quotas.of(namespace).max_tasks is not None:
            self._quotas.check_tasks(namespace, await self._count_of(namespace).value())
        self._start_rates.take(namespace)

    def accepted(self, namespace: str) -> None:
        """Counts a task that was started, until the cluster does."""
        self._all.add()
        if (count := self._by_namespace.get(namespace)) is not None:
            count.add()

    def _count_of(self, namespace: str) -> "_Count":
        count = self._by_namespace.get(namespace)
        if count is None:
            if len(self._by_namespace) >= _MAX_NAMESPACES:
                self._by_namespace.clear()
            count = _Count(partial(self._count_open_tasks, namespace), self._clock)
            self._by_namespace[namespace] = count
        return count


class _Count:
    """How many tasks are open. The cluster is asked about once in a second, however many want to know."""

    def __init__(self, query: Callable[[], Awaitable[int]], clock: Clock) -> None:
        self._query = query
        self._clock = clock
        self._lock = asyncio.Lock()
        self._tasks = 0
        self._at: int | None = None

    async def value(self) -> int:
        async with self._lock:
            now = self._clock.now()
            if self._at is None or not 0 <= now - self._at <= _MAX_AGE:
                self._tasks = await self._query()
                self._at = now
            return self._tasks

    def add(self) -> None:
        self._tasks += 1
