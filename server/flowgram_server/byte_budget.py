"""The byte budget: a limit on the memory that requests and answers hold together."""

from collections.abc import Iterator
from contextlib import contextmanager


class BudgetExceeded(Exception):
    """The budget has no room for so many bytes now; later it may."""


class ByteBudget:
    """Counts the bytes that are held at once. It waits for nothing: the caller refuses, or tries again.

    Args:
        limit: So many bytes may be held.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def take(self, size: int) -> None:
        """Holds so many bytes more.

        Raises:
            BudgetExceeded: They would be beyond the limit. What is held already stays held.
        """
        if self.held + size > self.limit:
            raise BudgetExceeded
        self.held += size

    def give_back(self, size: int) -> None:
        """Holds so many bytes less."""
        self.held -= size

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """A part of the budget that grows while the block lasts, and is given back at its end."""
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()


class Share:
    """What one request holds of a budget."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._held = 0

    def take(self, size: int) -> None:
        """Holds so many bytes more. Raises `BudgetExceeded`."""
        self._budget.take(size)
        self._held += size

    def give_back(self) -> None:
        """Gives back all that is held."""
        self._budget.give_back(self._held)
        self._held = 0
