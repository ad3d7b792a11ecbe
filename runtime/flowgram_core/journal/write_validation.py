"""Write validation: the one check that every journal applies before it stores a write."""

from typing import Final, NamedTuple

from flowgram_core.journal.errors import InvalidWrite
from flowgram_core.journal.interface import Write
from flowgram_core.modeling.status import Status

# Plain numbers: SQLite takes longer to bind members of enums.
PENDING: Final = int(Status.PENDING)
PROCESSING: Final = int(Status.PROCESSING)
UNFINISHED: Final = (PENDING, PROCESSING)


class TaskState(NamedTuple):
    """The state of a task: its status and the number of its last event."""

    status: int
    last_sequence: int


def size_of_content(write: Write) -> int:
    """What a write adds to its task: bytes of events and of the result, and characters of inputs."""
    size = 0 if write.accept is None else len(write.accept.inputs)
    for batch in write.batches:
        size += len(batch.events)
    if write.finish is not None:
        size += len(write.finish.result)
    return size


def state_after(state: TaskState | None, write: Write) -> TaskState:
    """The state of a task after a write.

    Args:
        state: Its state before; None if it does not exist.
        write: The write.

    Raises:
        InvalidWrite: The write contradicts the state.
    """
    if write.accept is not None:
        if state is not None:
            raise InvalidWrite(f"task {write.task_id!r} exists already")
        if write.accept.task_id != write.task_id:
            raise InvalidWrite(f"a write about task {write.task_id!r} accepts task {write.accept.task_id!r}")
        status, last_sequence = PENDING, 0
    elif state is None:
        raise InvalidWrite(f"there is no task {write.task_id!r}")
    else:
        status, last_sequence = state
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
