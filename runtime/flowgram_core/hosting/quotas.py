"""Quotas: the limits of one namespace, independent of all others."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flowgram_core.hosting.errors import QuotaExceeded
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

_RETRY_TASKS: Final = 1.0
_RETRY_BYTES: Final = 10.0
_RETRY_WATCHES: Final = 5.0
_SECOND: Final = 1_000_000
_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Quota:
    """The limits of one namespace. None: no limit of its own. 0: none at all.

    Attributes:
        max_tasks: Tasks that run and wait; beyond it new ones are refused.
        max_starts_per_second: New tasks in a second, on average; as many may come at once.
        max_watches: Clients that watch, or wait for a task, at once.
        max_calls: Calls of nodes at once; others wait, and with 0 they fail.
        max_bytes: What its tasks take in the journal; from there on new ones are refused.
    """

    max_tasks: int | None = None
    max_starts_per_second: float | None = None
    max_watches: int | None = None
    max_calls: int | None = None
    max_bytes: int | None = None


_UNLIMITED: Final = Quota()


class Quotas:
    """The quotas of all namespaces.

    Args:
        by_namespace: Those that are set. That of the default namespace is for all that have none of their own.
    """

    def __init__(self, by_namespace: Mapping[str, Quota]) -> None:
        self._by_namespace = by_namespace
        self._rest = by_namespace.get(DEFAULT_NAMESPACE, _UNLIMITED)

    def __bool__(self) -> bool:
        """Whether there is any quota."""
        return bool(self._by_namespace)

    def of(self, namespace: str) -> Quota:
        """The quota of a namespace."""
        return self._by_namespace.get(namespace, self._rest)

    def check_tasks(self, namespace: str, tasks: int) -> None:
        """Raises `QuotaExceeded` where a namespace with so many tasks may have no more."""
        limit = self.of(namespace).max_tasks
        if limit is not None and tasks >= limit:
            raise QuotaExceeded(
                namespace,
                "max_tasks",
                f"{tasks} tasks run and wait: the limit max_tasks is reached"
                if limit
                else "it may run no tasks: the limit max_tasks is 0",
                _RETRY_TASKS if limit else None,
            )

    def check_bytes(self, namespace: str, used: int) -> None:
        """Raises `QuotaExceeded` where a namespace whose tasks take so many bytes may have no more."""
        limit = self.of(namespace).max_bytes
        if limit is not None and used >= limit:
            raise QuotaExceeded(
                namespace,
                "max_bytes",
                f"its tasks take {used} bytes: the limit max_bytes = {limit} is reached",
                _RETRY_BYTES if limit else None,
            )

    def check_watches(self, namespace: str, watches: int) -> None:
        """Raises `QuotaExceeded` where so many clients of a namespace watch that no more may."""
        limit = self.of(namespace).max_watches
        if limit is not None and watches >= limit:
            raise QuotaExceeded(
                namespace,
                "max_watches",
                f"{watches} clients watch or wait: the limit max_watches is reached"
                if limit
                else "nobody may watch or wait: the limit max_watches is 0",
                _RETRY_WATCHES if limit else None,
            )


class StartRates:
    """Keeps each namespace to its rate of new tasks: a token bucket each, which holds what comes in in one second, or one.

    Of a bucket only the time is kept at which it will be full again: one that is full is forgotten.

    Args:
        quotas: The rates.
        now: Tells the time, in microseconds.
    """

    def __init__(self, quotas: Quotas, now: Callable[[], int]) -> None:
        self._quotas = quotas
        self._now = now
        self._full_at: dict[str, float] = {}

    def take(self, namespace: str) -> None:
        """Takes a token. Raises `QuotaExceeded` where there is none."""
        rate = self._quotas.of(namespace).max_starts_per_second
        if rate is None:
            return
        if not rate:
            text = "it may start no tasks: the limit max_starts_per_second is 0"
            raise QuotaExceeded(namespace, "max_starts_per_second", text, None)
        now = self._now()
        size = max(rate, 1.0)
        interval = _SECOND / rate
        # A clock that was set back does not stop anybody for longer than an empty bucket does.
        full_at = min(max(self._full_at.get(namespace, now), now), now + size * interval)
        missing = (full_at - now) / interval + 1 - size
        if missing > 1e-9:
            self._full_at[namespace] = full_at
            raise QuotaExceeded(
                namespace,
                "max_starts_per_second",
                f"its tasks start too fast: the limit max_starts_per_second = {rate:g} is reached",
                max(math.ceil(round(missing * interval) / 1000), 1) / 1000,
            )
        self._full_at[namespace] = full_at + interval
        if len(self._full_at) > _REMEMBERED:
            self._full_at = {name: time for name, time in self._full_at.items() if time > now}
