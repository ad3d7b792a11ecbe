"""Retry policies: backoff with jitter, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; gives up after so many failures in a row.

    Only failures that leave no doubt are tried again: the server was unavailable, and the request is safe to
    repeat (all of this client's requests are: `run` carries a request id).
    """

    attempts: int = 5
    """How often in all; 1 never retries."""
    initial: float = 0.1
    """Seconds to wait after the first failure, at most."""
    multiplier: float = 2.0
    """How much longer each further wait is."""
    maximum: float = 5.0
    """Seconds that no wait exceeds, the server's own advice aside."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts is at least 1")
        if self.initial < 0 or self.maximum < 0 or self.multiplier < 1:
            raise ValueError("waits are not negative, and do not shrink")

    def delay(
        self, failures: int, random: Callable[[], float], *, advice: float | None = None
    ) -> float | None:
        """Seconds to wait after `failures` failures in a row (1, 2, …); None to give up.

        `random` gives numbers in [0, 1): the upper half of each wait is left to chance, so that the clients of a
        server that restarts do not return all at once. `advice` is what the server asked for, a lower bound.
        """
        if failures >= self.attempts:
            return None
        # beyond 64 doublings every wait is the maximum, and a float would overflow
        longest = min(self.maximum, self.initial * self.multiplier ** min(failures - 1, 64))
        return max(longest * (0.5 + random() / 2), advice or 0.0)


RETRY = RetryPolicy()
"""For calls that are answered at once: about a second and a half in all."""
RECONNECT = RetryPolicy(attempts=12)
"""For watches and waits: about half a minute, the time that a server may take to restart."""
