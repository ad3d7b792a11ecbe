"""Status of tasks and of node runs: one enum, and one transition table each.

task:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
       PENDING -> FAILED | CANCELED
node:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
       PENDING -> SUCCEEDED | FAILED        (a run without I/O starts and ends in the same instant)
"""

from enum import IntEnum

from flowgram_core.engine.errors import IllegalTransition


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


_ENDS = (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)

# What may follow, by the number of a status; none has 0. No dict: members of enums are slow to hash, and quick to compare.
TransitionTable = tuple[tuple[Status, ...], ...]

TASK_TRANSITIONS: TransitionTable = (
    (),
    (Status.PROCESSING, Status.FAILED, Status.CANCELED),
    _ENDS,
    (),
    (),
    (),
)
NODE_TRANSITIONS: TransitionTable = (
    (),
    (Status.PROCESSING, Status.SUCCEEDED, Status.FAILED),
    _ENDS,
    (),
    (),
    (),
)


def transition(table: TransitionTable, current: Status, following: Status) -> Status:
    """The following status, if the table allows the move. Raises `IllegalTransition` if not."""
    if following not in table[current]:
        raise IllegalTransition(current.name, following.name)
    return following
