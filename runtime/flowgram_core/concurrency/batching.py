"""Adaptive batching: under load, similar requests are processed in one batch; a lone request never waits.

A batch costs about half of what its requests cost one by one: code and data stay in the processor's caches, and the fixed
part (a hand-over to a thread, a transaction) is paid once. Waiting for a batch to fill costs latency, though. So a batch
starts as soon as it holds half of all requests that are in flight: while one half is processed, the other half gathers,
and neither side is idle. A lone request is more than half, and starts at once.
"""

import asyncio
from types import TracebackType
from typing import Final

_LARGEST_BATCH: Final = 16
"""Larger batches gain nothing."""

_DELAY_PER_REQUEST: Final = 0.001
_LONGEST_DELAY: Final = 0.010
"""Seconds after which a batch starts in any case, for each request in flight and at most: those of last time may not come again.
The more there are, the longer half of them take to come; few are not worth a long wait.
"""

_DECAY: Final = 0.1
_DECAY_AFTER_TIMEOUT: Final = 1.0
"""By so much the remembered peak shrinks with each batch, and with one that had to start by time-out."""


class BatchPolicy:
    """Decides when a batch starts. It counts only: the caller waits."""

    __slots__ = ("_peak",)

    def __init__(self) -> None:
        self._peak = 0.0  # requests that were in flight at once lately

    def observe(self, in_flight: int) -> None:
        """Records how many requests are in flight now: waiting for a batch, or in one."""
        self._peak = max(self._peak, in_flight)

    def is_ready(self, waiting: int) -> bool:
        """Whether a batch of so many waiting requests may start."""
        return 2 * waiting >= self._peak or waiting >= _LARGEST_BATCH

    @property
    def delay(self) -> float:
        """Seconds after which a batch starts that is not ready."""
        return min(_DELAY_PER_REQUEST * self._peak, _LONGEST_DELAY)

    def batch_started(self, *, timed_out: bool) -> None:
        """Lets the remembered peak shrink: it should follow what came lately.

        Args:
            timed_out: Whether the batch started because it had waited long enough.
        """
        self._peak -= _DECAY_AFTER_TIMEOUT if timed_out else _DECAY


class AdaptiveBatcher:
    """Lets coroutines that enter it proceed in batches. A request counts as in flight until it leaves the block."""

    def __init__(self) -> None:
        self._policy = BatchPolicy()
        self._waiting: list[asyncio.Future[None]] = []
        self._processing = 0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        waiting, policy = self._waiting, self._policy
        policy.observe(1 + len(waiting) + self._processing)
        if not waiting and policy.is_ready(1):
            policy.batch_started(timed_out=False)
            self._processing += 1
            return
        loop = asyncio.get_running_loop()
        started: asyncio.Future[None] = loop.create_future()
        waiting.append(started)
        try:
            if policy.is_ready(len(waiting)):
                self._start_batch()
                await asyncio.sleep(0)  # behind the earlier ones of the batch
            elif self._timer is None:
                self._timer = loop.call_later(policy.delay, self._time_out)
            await started
        except asyncio.CancelledError:
            if not started.cancelled():  # it was cancelled after its batch had started
                self._processing -= 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._processing -= 1

    def _time_out(self) -> None:
        self._start_batch(timed_out=True)

    def _start_batch(self, *, timed_out: bool = False) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        self._policy.batch_started(timed_out=timed_out)
        for started in waiting:
            if not started.done():  # or its waiter was cancelled
                self._processing += 1
                started.set_result(None)
