"""Readiness: whether a program can take work, and the reason if it cannot."""

from typing import Final

STARTING: Final = "starting"
DRAINING: Final = "draining"


class Readiness:
    """The state of a program for orchestrators.

    Args:
        problem: Why it cannot be given work at first.

    Attributes:
        problem: Why it cannot be given work now, in a word or two; None if it can.
    """

    def __init__(self, problem: str | None = STARTING) -> None:
        self.problem = problem
        self._draining = False

    def set(self, problem: str | None) -> None:
        """Sets the state; once it drains it stays so."""
        if not self._draining:
            self.problem = problem

    def drain(self) -> None:
        """It takes no more work, for good."""
        self.problem = DRAINING
        self._draining = True
