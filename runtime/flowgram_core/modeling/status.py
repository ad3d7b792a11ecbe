"""The status of tasks and of node runs: the one enum that all packages use."""

from enum import IntEnum
from typing import Final


class Status(IntEnum):
    """What a task or a node run is doing. The numbers are those of the contract."""

    PENDING = 1
    PROCESSING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELED = 5

    @property
    def terminated(self) -> bool:
        """Whether nothing follows."""
        return self >= Status.SUCCEEDED


# Members of enums are found by a search; these are needed for every task and every node run.
PENDING: Final = Status.PENDING
PROCESSING: Final = Status.PROCESSING
SUCCEEDED: Final = Status.SUCCEEDED
