"""Recently ended tasks: a cache of their records, so that whoever waits for one a moment too late needs no query of the journal."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from flowgram_core.journal.interface import TaskRecord

_TASKS: Final = 1024
_BYTES: Final = 16 * 1024
"""Larger ones are left to the journal: all together hold 16 MB at most."""
_AGE: Final = 5_000_000
"""Microseconds after the end of a task."""


class RecentlyEnded:
    """Records of tasks that have ended, the last ones only, and small ones only."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, TaskRecord] = OrderedDict()

    def add(self, record: TaskRecord) -> None:
        """Keeps the record of a task that has ended, and is durable so."""
        if len(record.inputs) + len(record.result or b"") > _BYTES:
            return
        self._records[record.task_id] = record
        if len(self._records) > _TASKS:
            self._records.popitem(last=False)

    def get(self, task_id: str, namespace: str, now: int) -> TaskRecord | None:
        """The record of a task of this namespace that has ended just now; None where it is not, or no more, among them."""
        record = self._records.get(task_id)
        if record is None or record.namespace != namespace:
            return None
        return record if now - (record.end_time or 0) <= _AGE else None

    def remove(self, task_ids: Iterable[str]) -> None:
        """Forgets tasks, which are in the journal no more."""
        for task_id in task_ids:
            self._records.pop(task_id, None)
