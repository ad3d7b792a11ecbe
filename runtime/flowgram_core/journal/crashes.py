"""Crash counts in the SQLite file: which tasks processes were working on when they died."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from flowgram_core.journal.transaction import transaction
from flowgram_core.journal.write_validation import UNFINISHED
from flowgram_core.modeling.status import Status

_DELETE_OLD = "DELETE FROM crashes WHERE task NOT IN (SELECT number FROM tasks)"
_COUNT = """
    INSERT INTO crashes (task, last_sequence, session, count)
    SELECT number, (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number), ?2, 1 FROM tasks
    WHERE task_id = ?1 AND status IN (?3, ?4)
    ON CONFLICT (task) DO UPDATE SET
        count = CASE WHEN last_sequence = excluded.last_sequence THEN count + 1 ELSE 1 END,
        last_sequence = excluded.last_sequence,
        session = excluded.session
    WHERE session != excluded.session
"""
_COUNTS = """
    SELECT task_id, count FROM crashes CROSS JOIN tasks ON number = task
    WHERE status IN (?1, ?2) AND
        crashes.last_sequence = (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number)
"""
_CLEAR = "DELETE FROM crashes WHERE task = (SELECT number FROM tasks WHERE task_id = ?)"
_OVERVIEW = """
    SELECT task_id, (SELECT name FROM namespaces WHERE id = namespace), status, count, crashes.last_sequence AS crashed_at,
        (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number) AS now_at
    FROM crashes CROSS JOIN tasks ON number = task ORDER BY number
"""

_EVENTS_OF_PARKING = 2
"""A message, and the end of the task: what is written when a task is parked."""


class CrashedTask(NamedTuple):
    """A task during whose work processes died.

    Attributes:
        task_id: The task.
        namespace: Whose it is.
        status: As a number of the contract.
        crashes: How many processes in a row.
        parked: Whether it was ended because of them.
    """

    task_id: str
    namespace: str
    status: int
    crashes: int
    parked: bool


def crashed_tasks(connection: sqlite3.Connection) -> list[CrashedTask]:
    """The tasks that were parked, and those that have made no progress since a process died while it worked on them."""
    found = []
    for task_id, namespace, status, count, crashed_at, now_at in connection.execute(_OVERVIEW):
        parked = status == Status.FAILED and now_at == crashed_at + _EVENTS_OF_PARKING
        if parked or (status in UNFINISHED and now_at == crashed_at):
            found.append(CrashedTask(task_id, namespace, status, count, parked))
    return found


def record(connection: sqlite3.Connection, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
    """Counts crashes, as in `Journal.record_crashes`, in one transaction."""
    with transaction(connection):
        connection.execute(_DELETE_OLD)
        for task_id in task_ids:
            connection.execute(_COUNT, (task_id, session, *UNFINISHED))
        return dict(connection.execute(_COUNTS, UNFINISHED).fetchall())


def clear(connection: sqlite3.Connection, task_id: str) -> None:
    """Forgets the crashes of a task."""
    with transaction(connection):
        connection.execute(_CLEAR, (task_id,))
