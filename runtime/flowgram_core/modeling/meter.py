"""The meter: counts the work of a node run and the memory that it allocates, where either is done.

Work is counted in units that stand for about a nanosecond each: bytes looked at, parts compared. The counts follow from the
values alone, never from a clock, so that a replay comes to the same ones. A run that does too much for the thread it is in
is suspended (`WorkSuspended`): it has changed nothing, and is begun anew where it may take its time.
"""

from collections.abc import Callable
from typing import Final

from flowgram_core.modeling.errors import WorkLimitExceeded

PART: Final = 100
"""Work of looking at one part of a value in Python: an element, a member, a condition."""
SCALAR: Final = 15
"""Work of looking at one part of a value in C."""
STRIDE: Final = 1_000_000
"""Work after which code that takes its time looks whether it is to stop, and lets other threads run."""

_UNLIMITED: Final = 2**63 - 1

Checkpoint = Callable[[], None]
"""Called every now and then by work that takes long. Raises `WorkSuspended` to stop it."""


class WorkSuspended(BaseException):
    """A node run was stopped before it changed anything, to be begun anew."""


class Meter:
    """Counts what one node run after the other does.

    Args:
        limit: So much work one run may do.
        what: What a run is called where it does more.

    Attributes:
        used: Work of the run so far.
        allocated: Bytes of memory that were allocated since somebody has set it to zero: an estimate that never is too
            low by much, and never shrinks when memory is freed.
    """

    __slots__ = ("_allowance", "_bound", "_checkpoint", "_limit", "_run_limit", "_what", "allocated", "used")

    def __init__(self, limit: int = _UNLIMITED, what: str = "Node run") -> None:
        self.used = 0
        self.allocated = 0
        self._limit = self._run_limit = limit
        self._what = what
        self._allowance = _UNLIMITED
        self._checkpoint: Checkpoint | None = None
        self._bound = limit

    def begin(
        self, allowance: int = _UNLIMITED, checkpoint: Checkpoint | None = None, *, is_limited: bool = True
    ) -> None:
        """Begins to count a run.

        Args:
            allowance: The run is suspended beyond so much work.
            checkpoint: Called at every `STRIDE` of work; nothing else suspends the run then.
            is_limited: Whether the limit counts, as it does for what a workflow asks for.
        """
        self.used = 0
        self._allowance = allowance if checkpoint is None else _UNLIMITED
        self._checkpoint = checkpoint
        self._limit = self._run_limit if is_limited else _UNLIMITED
        self._bound = min(self._limit, allowance if checkpoint is None else STRIDE)

    def spend(self, work: int) -> None:
        """Counts work that is about to be done.

        Raises:
            WorkLimitExceeded: The run does more than any may.
            WorkSuspended: It does more than it may where it runs now.
        """
        self.used += work
        if self.used > self._bound:
            self._check()

    def _check(self) -> None:
        if self.used > self._limit:
            raise WorkLimitExceeded(self._what, self._limit)
        if self.used > self._allowance:
            raise WorkSuspended
        if self._checkpoint is not None:
            self._checkpoint()
            self._bound = min(self._limit, self.used + STRIDE)
