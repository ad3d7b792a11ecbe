"""The status of tasks and of node runs: the one enum that all packages use."""

from enum import IntEnum


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
