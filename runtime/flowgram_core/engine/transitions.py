"""The transition tables of task status and node status.

task:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
       PENDING -> FAILED | CANCELED
node:  PENDING -> PROCESSING -> SUCCEEDED | FAILED | CANCELED
       PENDING -> SUCCEEDED | FAILED        (a run without I/O starts and ends in the same instant)
"""

from flowgram_core.engine.errors import IllegalTransition
from flowgram_core.modeling.status import Status

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
