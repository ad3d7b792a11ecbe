"""What may follow what in a task's log: the one check that every journal applies before it stores a write."""

from typing import Final, NamedTuple

from flowgram_core.journal.errors import InvalidWrite
from flowgram_core.journal.interface import Write
from flowgram_core.modeling.status import Status

# Plain numbers: SQLite takes longer to bind members of enums.
PENDING: Final = int(Status.PENDING)
PROCESSING: Final = int(Status.PROCESSING)
UNFINISHED: Final = (PENDING, PROCESSING)


class TaskState(NamedTuple):
    """Where a task stands: its status and the number of its last event."""

    status: int
    last_sequence: int


def follow(standing: TaskState | None, write: Write) -> TaskState:
    """Where a task stands after a write.

    Args:
        standing: Where it stands before; None if it does not exist.
        write: What is to be written about it.

    Raises:
        InvalidWrite: The write cannot follow.
    """
    if write.accept is not None:
        if standing is not None:
            raise InvalidWrite(f"task {write.task_id!r} exists already")
        if write.accept.task_id != write.task_id:
            raise InvalidWrite(f"a write about task {write.task_id!r} accepts task {write.accept.task_id!r}")
        status, last_sequence = PENDING, 0
    elif standing is None:
        raise InvalidWrite(f"there is no task {write.task_id!r}")
    else:
        status, last_sequence = standing
    if status not in UNFINISHED:
        raise InvalidWrite(f"task {write.task_id!r} has finished")
    for batch in write.batches:
        if batch.first_sequence != last_sequence + 1 or batch.last_sequence < batch.first_sequence:
            raise InvalidWrite(
                f"events {batch.first_sequence} to {batch.last_sequence} of task {write.task_id!r}"
                f" cannot follow event {last_sequence}"
            )
        last_sequence = batch.last_sequence
    if write.started is not None:
        if status != PENDING:
            raise InvalidWrite(f"task {write.task_id!r} has started already")
        status = PROCESSING
    if write.finish is not None:
        if write.finish.status in UNFINISHED:
            raise InvalidWrite(f"task {write.task_id!r} cannot finish with status {write.finish.status}")
        status = write.finish.status
    return TaskState(status, last_sequence)
