"""The history writer: puts the records of a task into the history of its workflow.

A record costs no event of its own where a call of the same step can carry it. Otherwise it is a marker: a local activity that
gives the bytes back. (Not a memo: that would stay in every row of the cluster's visibility.) All of this runs in workflow code:
what decides about commands is the history and the task's input alone.
"""

from datetime import timedelta
from typing import Final, NamedTuple

from temporalio import workflow
from temporalio.common import RetryPolicy

from flowgram_core.temporal.errors import HistoryDiverged
from flowgram_core.temporal.names import PAUSE, RECORD
from flowgram_core.temporal.record import Record
from flowgram_core.temporal.task_input import Shape

RETRY: Final = RetryPolicy(initial_interval=timedelta(seconds=0.5), maximum_interval=timedelta(seconds=10))
"""How activities are tried again."""
DIVERGED: Final = "this version does not get to the events that are recorded"

_MARKER_TIMEOUT: Final = timedelta(seconds=10)
_PAUSE_TIMEOUT: Final = timedelta(seconds=60)


class HistoryWriter:
    """Writes the history of one run of a workflow.

    Args:
        shape: How much goes into what.
        recorded: The number of the task's last event before it.

    Attributes:
        recorded: The number of the task's last event that is in the history, or on its way there.
    """

    def __init__(self, shape: Shape, recorded: int) -> None:
        self.recorded = recorded
        self._shape = shape
        self._carried: _Carried | None = None
        self._began_at = 0
        self._sent = 0

    def can_carry(self, record: Record) -> bool:
        """Whether a call that is begun in this workflow task may carry a record."""
        return (
            len(record.events) <= self._shape.carried_bytes
            and self._sent_in_this_task < self._shape.task_bytes
        )

    def carry(self, record: Record, data: bytes, request_size: int) -> None:
        """A call that is begun now carries a record: these bytes, beside a request of that size."""
        self._add(len(data) + request_size)
        self._carried = _Carried(history_length(), data)
        self.recorded = record.last_sequence

    async def record(self, record: Record) -> None:
        """Writes a record by a marker. Raises `HistoryDiverged` where another one is there."""
        await self._mark(record.encode())
        self.recorded = record.last_sequence

    async def record_lost(self) -> None:
        """Records again what a call carried that may be stopped before the history gets to hold it.

        A call that is begun and stopped in one workflow task leaves nothing behind. Readers skip what they have.
        """
        carried, self._carried = self._carried, None
        if carried is not None and carried.began_at == history_length():
            await self._mark(carried.data)

    async def make_room(self, size: int) -> None:
        """Begins another workflow task where this one would get too large: one that is too large fails for ever."""
        sent = self._sent_in_this_task
        if sent and sent + size > self._shape.task_bytes:
            await workflow.execute_activity(PAUSE, start_to_close_timeout=_PAUSE_TIMEOUT, retry_policy=RETRY)
        self._add(size)

    async def _mark(self, data: bytes) -> None:
        await self.make_room(len(data))
        kept = await workflow.execute_local_activity(
            RECORD, data, start_to_close_timeout=_MARKER_TIMEOUT, result_type=bytes
        )
        if kept != data:
            raise HistoryDiverged(DIVERGED)

    @property
    def _sent_in_this_task(self) -> int:
        """So many bytes, in this workflow task."""
        if self._began_at != history_length():
            self._began_at, self._sent = history_length(), 0
        return self._sent

    def _add(self, size: int) -> None:
        self._sent = self._sent_in_this_task + size


class _Carried(NamedTuple):
    """A record that a call carries.

    Attributes:
        began_at: The length of the history when the call began.
        data: The record.
    """

    began_at: int
    data: bytes


def history_length() -> int:
    """The length of the history when this workflow task began: it tells one workflow task from another."""
    return workflow.info().get_current_history_length()
