"""Status of tasks and of node runs: one enum, and one transition table each.

task:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
PENDING -> FAILED | CANCELED
node:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
PENDING -> SUCCEEDED | FAILED        (a run without I/O starts and ends in the same instant)
"""

from collections.abc import Mapping
from enum import IntEnum

from flowgram_runtime.engine.errors import IllegalTransition


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


_ENDS = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})
_NOTHING: frozenset[Status] = frozenset()

TransitionTable = Mapping[Status, frozenset[Status]]

TASK_TRANSITIONS: TransitionTable = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.FAILED, Status.CANCELED}),
    Status.PROCESSING: _ENDS,
    Status.SUCCEEDED: _NOTHING,
    Status.FAILED: _NOTHING,
    Status.CANCELED: _NOTHING,
}
NODE_TRANSITIONS: TransitionTable = {
    Status.PENDING: frozenset({Status.PROCESSING, Status.SUCCEEDED, Status.FAILED}),
    Status.PROCESSING: _ENDS,
    Status.SUCCEEDED: _NOTHING,
    Status.FAILED: _NOTHING,
    Status.CANCELED: _NOTHING,
}


def transition(table: TransitionTable, current: Status, following: Status) -> Status:
    """The following status, if the table allows the move. Raises `IllegalTransition` if not."""
    if following not in table[current]:
        raise IllegalTransition(current.name, following.name)
    return following
