"""Uptime: how long tasks have run, not counting the time in which no server was up.

A server records its *session* in the journal: when it began, and when it was last known to be alive. The next one adds up
the parts of all sessions that lie after the start of a task. So a time-out neither counts the time between two servers nor
begins anew with the last event of a task. Where the wall clock is set while a server runs, its session ends, and another one begins:
the hours that were skipped are no time in which a task ran.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from flowgram_core.concurrency.clock import Clock, Timer
from flowgram_core.journal.errors import JournalError
from flowgram_core.journal.interface import Journal, ServerSession

_log = logging.getLogger(__name__)

_FIRST_RENEWAL: Final = 1 / 16
_RENEWAL: Final = 1.0
"""Seconds between renewals: each time twice as long. The first come soon, so that short sessions count in a crash loop."""
_STEP: Final = 2_000_000
"""Microseconds by which the wall clock must be off to count as set."""


class Uptime:
    """The session of this process on a journal, and the earlier ones.

    Args:
        journal: Stores the sessions.
        clock: Tells the time.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal = journal
        self._clock = clock
        self._began = clock.now()
        self._began_at = clock.monotonic()
        self._seen_at = self._began_at
        self._former: list[ServerSession] = []
        self._timed = 0
        self._needed = asyncio.Event()
        self._failing = False

    async def begin(self) -> None:
        """Begins the session. If the journal fails, earlier sessions are not counted."""
        self._began, self._began_at = self._clock.now(), self._clock.monotonic()
        self._seen_at = self._began_at
        try:
            self._former = await self._journal.begin_session(self._began)
        except JournalError:
            _log.exception("how long tasks ran before this start is unknown: their time-outs begin anew")

    async def keep(self) -> None:
        """Extends the session periodically, while there are timers that need it; until it is cancelled."""
        delay = _FIRST_RENEWAL
        while True:
            await self._needed.wait()
            await self._clock.sleep(delay)
            await self.record()
            delay = min(2 * delay, _RENEWAL)

    async def record(self) -> bool:
        """Extends the session. If the journal fails, that is logged once until it works again. Whether it was written."""
        self._look_at_clock()
        try:
            await self._journal.extend_session(ServerSession(self._began, self._began + self._own()))
        except JournalError as error:
            if not self._failing:
                _log.warning("cannot record the server's uptime: %s", error)
            self._failing = True
        else:
            self._failing = False
        return not self._failing

    def since(self, time: int, *, earlier: bool) -> int:
        """How long servers have been up since a time, in microseconds.

        Args:
            time: The time, by the clock of its own session.
            earlier: Whether it lies in an earlier session. Times do not tell: the clock may have been set back since.
        """
        self._look_at_clock()
        own = self._own()
        if not earlier:
            return max(0, min(own, self._clock.now() - time))
        first = self._session_of(time)
        past = sum(session.alive - session.began for session in self._former[first + 1 :])
        if first >= 0:
            past += max(0, self._former[first].alive - time)
        return past + own

    def _own(self) -> int:
        """How long this session has lasted, in microseconds."""
        return round((self._clock.monotonic() - self._began_at) * 1e6)

    def _look_at_clock(self) -> None:
        """Begins another session where the wall clock was set since the last look."""
        monotonic = self._clock.monotonic()
        since_last, self._seen_at = monotonic - self._seen_at, monotonic
        if abs(self._clock.now() - self._began - self._own()) < _STEP:
            return
        _log.warning("the system's clock was set: time-outs go on as if it had not been")
        lasted = self._own() - round(since_last * 1e6)
        self._former.append(ServerSession(self._began, self._began + lasted))
        # What happened since the last look belongs to the new session, whose times it may have.
        self._began, self._began_at = self._clock.now() - round(since_last * 1e6), monotonic - since_last

    def _session_of(self, time: int) -> int:
        """The index of the earlier session in which a time lies, or after which it comes; -1 if it is before all."""
        sessions = self._former
        candidates = [index for index, session in enumerate(sessions) if session.began <= time]
        inside = [index for index in candidates if time <= sessions[index].alive]
        return max(inside or candidates, default=-1)

    def call_at_age(
        self, start_time: int, age: int, callback: Callable[[], object], *, earlier: bool
    ) -> Timer:
        """Calls back when a task has run for so many microseconds. While there are such timers the session is recorded.

        Args:
            start_time: When the task started.
            age: How long it may run; if it has already, it is called back soon.
            callback: What to call.
            earlier: Whether the task started in an earlier session.
        """
        left = max(0, age - self.since(start_time, earlier=earlier)) / 1e6
        self._timed += 1
        if self._timed == 1:
            self._needed.set()
        return _AgeTimer(self._clock.call_later(left, callback), self._forget)

    def _forget(self) -> None:
        self._timed -= 1
        if not self._timed:
            self._needed.clear()


class _AgeTimer:
    """A timer that reports when it is no longer needed."""

    __slots__ = ("_canceled", "_timer")

    def __init__(self, timer: Timer, canceled: Callable[[], None]) -> None:
        self._timer: Timer | None = timer
        self._canceled = canceled

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._canceled()
