"""The storage budget: how much the journal may grow, and what happens when it has.

Sizes are measured about once a second, so that a limit may be passed by what is written in that time. Two levels keep what
runs from being caught by the limit together with what is new:

- *full*: new tasks are refused. Running ones go on, into what is left.
- *exhausted*: running tasks wait too, between two steps, until there is room. Cancel and time-out still end them.

A namespace has a quota of bytes in the same way: of one that has used it up, new tasks are refused.

Where a commit has failed, whatever the reason, it is tried once a second whether the journal can be written again: until then no new
task would be accepted.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.wake_up import WakeUp
from flowgram_core.hosting.errors import StorageFull
from flowgram_core.hosting.quotas import Quotas
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalError, JournalUnavailable
from flowgram_core.journal.interface import Journal, Usage

_log = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
"""Seconds between two measurements."""

_RETRY_AFTER: Final = 10.0

_FULL: Final = 0.9
"""Part of a budget that new tasks may fill; the rest is for those that run."""

_ROOM: Final = 0.95
"""Once a level was reached, it ends below this part of it: else it would come and go with every task."""


class StorageBudget:
    """Compares what the journal takes with its limits.

    Attributes:
        exhausted: Whether running tasks have to wait.
        failing: Whether a commit has failed, and none has been made since, as far as is known.
        usage: What was measured last; None: nothing yet.
    """

    def __init__(
        self,
        journal: Journal,
        settings: RuntimeSettings,
        clock: Clock,
        try_to_write: Callable[[], Awaitable[bool]],
    ) -> None:
        self.exhausted = False
        self.failing = False
        self._try_to_write = try_to_write
        self.usage: Usage | None = None
        self._journal = journal
        self._max_bytes = settings.max_journal_bytes
        self._reserve = settings.disk_reserve_bytes
        self._clock = clock
        self._quotas = Quotas(settings.quotas)
        self._used: Mapping[str, int] = {}  # by namespace
        self._full = ""
        self._writable = True
        self._waiting: set[WakeUp] = set()

    async def keep(self) -> None:
        """Measures periodically where there is a limit, and looks after failures, until it is cancelled."""
        has_limits = bool(self._max_bytes or self._reserve or self._quotas)
        while True:
            if has_limits:
                await self.measure()
            if self.failing and await self._try_to_write():
                self.failing = False
            await self._clock.sleep(_INTERVAL)

    async def measure(self) -> None:
        """Measures once; wakes what waits for room if there is some."""
        try:
            usage = await self._journal.usage()
        except JournalError:  # who needs it will find out; the levels stay as they are
            return
        self.usage = usage
        self._used = usage.by_namespace
        self._writable = usage.writable
        if not usage.writable:  # commits say why
            return
        used = usage.used_bytes / self._max_bytes if self._max_bytes else 0.0
        # A reserve of free space is a budget too: half of it is for running tasks, and the rest is never used.
        free = usage.free_bytes
        short = 0.0 if free is None or not self._reserve else self._reserve / max(free, 1)
        full = ""
        if used >= _FULL * (_ROOM if self._full else 1):
            full = f"it has {usage.used_bytes} bytes, near or beyond the limit max_journal_bytes = {self._max_bytes}"
        elif short >= (_ROOM if self._full else 1):
            full = (
                f"its disk has {free} bytes left, and disk_reserve_bytes = {self._reserve} are to stay free"
            )
        margin = _ROOM if self.exhausted else 1
        self.exhausted = used >= margin or short >= 2 * margin
        if bool(full) is not bool(self._full):
            if full:
                _log.error("the journal is full, and new tasks are refused: %s", full)
            else:
                _log.info("the journal has room again")
        self._full = full
        if not self.exhausted:
            for event in self._waiting:
                event.set()
            self._waiting.clear()

    def check_room(self, namespace: str) -> None:
        """Raises `StorageFull` where no new task can be accepted, and `QuotaExceeded` where none of this namespace can."""
        if self._quotas:
            self._quotas.check_bytes(namespace, self._used.get(namespace, 0))
        if self._full:
            raise StorageFull(f"the store of tasks is full: {self._full}", _RETRY_AFTER)

    def check_health(self) -> None:
        """Raises `JournalUnavailable` where no new task can be accepted."""
        if self._full:
            raise JournalUnavailable(f"the journal is full: {self._full}")
        if not self._writable or self.failing:
            raise JournalUnavailable("the journal cannot be written")

    def wake_when_room(self, sleeper: WakeUp) -> None:
        """Wakes a task once running tasks may go on."""
        self._waiting.add(sleeper)
