"""Adaptive batching: under load, similar requests are processed in one batch; a lone request never waits.

A batch costs about half of what its requests cost one by one: code and data stay in the processor's caches, and the fixed
part (a hand-over to a thread, a transaction) is paid once. Waiting for a batch to fill costs latency, though. So a batch
starts as soon as it holds half of all requests that are in flight: while one half is processed, the other half gathers,
and neither side is idle. Where few are in flight, none waits.
"""

from typing import Final

_LARGEST_BATCH: Final = 16
"""Larger batches gain nothing."""
_HIGHEST_PEAK: Final = 2 * _LARGEST_BATCH
"""What is in flight beyond it makes no difference, and would only take longer to be forgotten."""

_LEAST_PEAK: Final = 4
"""Where no more are in flight, a batch saves less than it costs to wait for its second request."""

_DELAY_PER_REQUEST: Final = 0.001
_LONGEST_DELAY: Final = 0.010
"""Seconds after which a batch starts in any case, for each request in flight and at most: those of last time may not come again.
The more there are, the longer half of them take to come; few are not worth a long wait.
"""

_DECAY: Final = 0.1
_DECAY_AFTER_TIMEOUT: Final = 1.0
"""By so much the remembered peak shrinks with each batch, and with one that had to start by time-out."""
_FEW: Final = 0.25
_LEFT: Final = 0.5
"""Where no more than a few of the peak had come when the time was over, the load is gone, and half of the peak is forgotten at once: each of
the next batches would wait for it as well.
"""


class BatchPolicy:
    """Decides when a batch starts. It counts only: the caller waits."""

    __slots__ = ("_peak",)

    def __init__(self) -> None:
        self._peak = 0.0  # requests that were in flight at once lately

    def observe(self, in_flight: int) -> None:
        """Records how many requests are in flight now: waiting for a batch, or in one."""
        self._peak = max(self._peak, min(in_flight, _HIGHEST_PEAK))

    def is_ready(self, waiting: int) -> bool:
        """Whether a batch of so many waiting requests may start."""
        return 2 * waiting >= self._peak or waiting >= _LARGEST_BATCH or self._peak <= _LEAST_PEAK

    @property
    def delay(self) -> float:
        """Seconds after which a batch starts that is not ready."""
        return min(_DELAY_PER_REQUEST * self._peak, _LONGEST_DELAY)

    def batch_started(self, size: int, *, timed_out: bool) -> None:
        """Lets the remembered peak shrink: it should follow what came lately.

        Args:
            size: How many requests are in the batch.
            timed_out: Whether the batch started because it had waited long enough.
        """
        if not timed_out:
            self._peak -= _DECAY
        elif size <= _FEW * self._peak:
            self._peak *= _LEFT
        else:
            self._peak -= _DECAY_AFTER_TIMEOUT
