"""The memory budget: what all tasks of a process hold in memory, and what happens beyond the limit.

Each task's estimate comes from its execution. A new task that would not fit is refused. Where running tasks grow beyond the
limit, the one that holds most fails, so that small ones go on.
"""

from typing import Final, Protocol

from flowgram_core.engine.program import Program
from flowgram_core.hosting.errors import MemoryLimitReached

_RETRY_AFTER: Final = 1.0


class MemoryHolder(Protocol):
    """A task that holds memory."""

    def fail(self, error: str) -> None:
        """Ends it as FAILED as soon as possible; the error is for users."""
        ...


class MemoryBudget:
    """Adds up what tasks hold.

    Args:
        limit: Bytes of memory that all of them may hold.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._held: dict[MemoryHolder, int] = {}
        self._failing: set[MemoryHolder] = set()
        # Programs are shared by tasks, and stay as long as one of these.
        self._programs: dict[Program, int] = {}  # a Counter calls back into Python for what it does not have

    @property
    def total(self) -> int:
        """Bytes that all tasks hold, without those that are failing for it."""
        return self._total

    def check(self, program: Program, inputs_memory: int) -> None:
        """Raises `MemoryLimitReached` if a new task would not fit beside the others."""
        more = inputs_memory + (0 if program in self._programs else program.document.memory)
        if self._total and self._total + more > self._limit:
            text = (
                f"{len(self._held)} tasks hold {self._total} bytes of memory: "
                f"{more} more would be beyond the limit max_memory = {self._limit}"
            )
            raise MemoryLimitReached(text, _RETRY_AFTER)

    def add(self, holder: MemoryHolder, program: Program, held: int) -> None:
        """Counts a task from now on."""
        tasks = self._programs.get(program, 0)
        if not tasks:
            self._total += program.document.memory
        self._programs[program] = tasks + 1
        self._held[holder] = 0
        if held:
            self.update(holder, held)

    def update(self, holder: MemoryHolder, held: int) -> None:
        """Counts a task with what it holds now. Beyond the limit, the one that holds most fails."""
        before = self._held.get(holder)
        if before is None or before == held:
            return
        self._held[holder] = held
        if holder in self._failing:
            return
        self._total += held - before
        if held > before and self._total > self._limit and len(self._held) > len(self._failing):
            self._fail_largest()

    def remove(self, holder: MemoryHolder, program: Program) -> None:
        """Counts a task no longer."""
        held = self._held.pop(holder, None)
        if held is None:
            return
        if holder in self._failing:
            self._failing.discard(holder)
        else:
            self._total -= held
        tasks = self._programs[program] - 1
        if tasks:
            self._programs[program] = tasks
        else:
            del self._programs[program]
            self._total -= program.document.memory

    def _fail_largest(self) -> None:
        candidates = (each for each in self._held if each not in self._failing)
        largest = max(candidates, key=self._held.__getitem__)
        self._failing.add(largest)
        self._total -= self._held[largest]
        largest.fail(
            f"Task holds too much memory: all tasks together are beyond the limit max_memory = {self._limit}"
        )
