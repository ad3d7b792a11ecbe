"""Admission: whether a new task may be accepted now, by counts of the cluster's visibility store."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

from flowgram_core.concurrency.clock import Clock
from flowgram_core.hosting.errors import QuotaExceeded, TooManyTasks
from flowgram_core.hosting.quotas import Quotas, StartRates

_SECOND: Final = 1_000_000
_MAX_AGE: Final = _SECOND
"""Microseconds for which a count holds."""
_RATE_WINDOW: Final = 10.0
"""Seconds over which starts by all servers are counted; more, where one start has a longer time."""
_RETRY: Final = 1.0
_MAX_NAMESPACES: Final = 10_000


class TaskCounts(Protocol):
    """What the cluster can count."""

    async def open_tasks(self, namespace: str | None = None) -> int:
        """How many tasks have not ended: of a namespace, or of all."""
        ...

    async def started_since(self, time: int, namespace: str) -> int:
        """How many tasks of a namespace were accepted at a time, in microseconds since the epoch, or after it."""
        ...


class Admission:
    """Decides about the new tasks of one server. Others decide by the same counts: the limits may be passed by what they accept at once.

    Args:
        counts: Asks the cluster.
        max_open_tasks: So many tasks may be open in all namespaces together; 0: no limit.
        quotas: What each namespace may have.
        clock: Tells how old a count is.
    """

    def __init__(self, counts: TaskCounts, max_open_tasks: int, quotas: Quotas, clock: Clock) -> None:
        self._counts = counts
        self._max_open_tasks = max_open_tasks
        self._quotas = quotas
        self._clock = clock
        self._start_rates = StartRates(quotas, clock.now)
        self._all = _Count(counts.open_tasks, clock)
        self._open: dict[str, _Count] = {}  # of namespaces with a quota
        self._started: dict[str, _Count] = {}  # the same

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
        quota = self._quotas.of(namespace)
        if quota.max_tasks is not None:
            ask = partial(self._counts.open_tasks, namespace)
            self._quotas.check_tasks(namespace, await self._count(self._open, namespace, ask).value())
        if quota.max_starts_per_second:
            await self._check_starts(namespace, quota.max_starts_per_second)
        self._start_rates.take(namespace)

    def accepted(self, namespace: str) -> None:
        """Counts a task that was started, until the cluster does."""
        self._all.add()
        for counts in (self._open, self._started):
            if (count := counts.get(namespace)) is not None:
                count.add()

    async def _check_starts(self, namespace: str, rate: float) -> None:
        """Raises `QuotaExceeded` where all servers together have started more than one would by its own token bucket."""
        seconds = max(_RATE_WINDOW, 1 / rate)

        async def ask() -> int:
            return await self._counts.started_since(self._clock.now() - round(seconds * _SECOND), namespace)

        allowed = rate * (seconds + _MAX_AGE / _SECOND) + max(rate, 1.0)
        if await self._count(self._started, namespace, ask).value() >= allowed:
            raise QuotaExceeded(
                namespace,
                "max_starts_per_second",
                f"its tasks start too fast: the limit max_starts_per_second = {rate:g} is reached by all servers",
                _RETRY,
            )

    def _count(
        self, counts: dict[str, "_Count"], namespace: str, ask: Callable[[], Awaitable[int]]
    ) -> "_Count":
        count = counts.get(namespace)
        if count is None:
            if len(counts) >= _MAX_NAMESPACES:
                counts.clear()
            count = counts[namespace] = _Count(ask, self._clock)
        return count


class _Count:
    """How many tasks of some kind there are. The cluster is asked about once in a second, however many want to know."""

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
