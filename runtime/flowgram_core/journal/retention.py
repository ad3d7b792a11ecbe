"""Removal of finished tasks, in transactions so small that commits hardly wait for them.

A task's row is removed first, and its number recorded in the table `removed`; its log, which may be large, follows in
slices. After a crash in between, the next removal continues with the recorded numbers.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from flowgram_core.journal.interface import RemovedTask
from flowgram_core.journal.transaction import transaction, undo_left_over

SLICE = 50
"""Tasks removed in one transaction."""

_ROWS = 200
"""Batches removed in one transaction: 1 ms for small ones, 10 ms for 20 kB each."""

PAGES_PER_SLICE = 50
"""Pages that a slice of tasks, or of logs, changes, about."""

PAGES = 250
"""Free pages returned to the file system in one transaction, which changes as many."""

_START_OF_TIME = -(2**63)
_END_OF_TIME = 2**63 - 1
"""The range of SQLite's integers; times and counts beyond it mean the same as its bounds."""

_LAST_TOO_MANY = """
    SELECT end_time, number FROM tasks WHERE end_time IS NOT NULL ORDER BY end_time DESC, number DESC LIMIT 1 OFFSET ?
"""
_DUE = """
    SELECT number, task_id, schema_hash, namespace, length(inputs) + coalesce(length(result), 0),
        (SELECT name FROM namespaces WHERE id = namespace)
    FROM tasks WHERE end_time <= ?1 AND (end_time < ?1 OR number <= ?2)
    ORDER BY end_time, number LIMIT ?3
"""
_RECORD_REMOVED = """
    INSERT INTO removed (task, namespace) SELECT number, namespace FROM tasks WHERE number IN (SELECT value FROM json_each(?))
"""
_REMOVE_TASKS = "DELETE FROM tasks WHERE number IN (SELECT value FROM json_each(?))"
_REMOVE_NAMES = "DELETE FROM display_names WHERE task IN (SELECT value FROM json_each(?))"
_REMOVE_SCHEMA = (
    "DELETE FROM schemas WHERE hash = ?1 AND NOT EXISTS (SELECT 1 FROM tasks WHERE schema_hash = ?1)"
)
_LEFT_EVENTS = """
    SELECT events.rowid, removed.namespace, length(events.events)
    FROM removed CROSS JOIN events ON events.task = removed.task LIMIT ?
"""
_REMOVE_EVENTS = "DELETE FROM events WHERE rowid IN (SELECT value FROM json_each(?))"
_FREE_BYTES = "UPDATE namespaces SET bytes = max(bytes - ?2, 0) WHERE id = ?1"
_CLEAR_REMOVED = "DELETE FROM removed"


class _Due(NamedTuple):
    """A task to remove, with the number of its namespace, and the size of its inputs and its result."""

    number: int
    task_id: str
    schema_hash: bytes
    namespace: int
    size: int
    namespace_name: str


class End(NamedTuple):
    """When a task has ended, in microseconds, and its number, for those of one time."""

    time: int
    number: int


def last_due(connection: sqlite3.Connection, ended_before: int | None, keep_newest: int | None) -> End | None:
    """The last end that is due; None: none is. It counts as many tasks as are kept, 10 ms for 100,000, so that no commit should wait for it."""
    ends = []
    if ended_before is not None:
        ends.append(End(max(_START_OF_TIME, min(ended_before - 1, _END_OF_TIME)), _END_OF_TIME))
    if keep_newest is not None:
        found = connection.execute(_LAST_TOO_MANY, (min(keep_newest, _END_OF_TIME),))
        ends += [End(*row) for row in found]
    return max(ends, default=None)


def remove_tasks(connection: sqlite3.Connection, last: End, limit: int) -> list[RemovedTask]:
    """Removes tasks that ended no later than `last`, and schemas that no task uses any more, in one transaction.

    Returns:
        Which, in the order in which they ended: the first ones, at most `limit`.
    """
    with transaction(connection):
        due = [_Due(*row) for row in connection.execute(_DUE, (*last, limit))]
        if due:
            numbers = json.dumps([task.number for task in due])
            connection.execute(_RECORD_REMOVED, (numbers,))
            connection.execute(_REMOVE_TASKS, (numbers,))
            connection.execute(_REMOVE_NAMES, (numbers,))
            for schema_hash in {task.schema_hash for task in due}:
                connection.execute(_REMOVE_SCHEMA, (schema_hash,))
            _free(connection, ((task.namespace, task.size) for task in due))
    return [RemovedTask(task.task_id, task.namespace_name) for task in due]


def remove_logs(connection: sqlite3.Connection) -> bool:
    """Removes a slice of the logs of removed tasks. Returns False after the last one."""
    with transaction(connection):
        rows = connection.execute(_LEFT_EVENTS, (_ROWS,)).fetchall()
        connection.execute(_REMOVE_EVENTS, (json.dumps([row for row, _, _ in rows]),))
        _free(connection, ((namespace, size) for _, namespace, size in rows))
        more = len(rows) == _ROWS
        if not more:
            connection.execute(_CLEAR_REMOVED)
    return more


def free_pages(connection: sqlite3.Connection) -> bool:
    """Returns free pages to the file system; False if those were the last ones, or none can be returned.

    None can be if another program rewrote the file without incremental auto-vacuum; they are reused then.
    """
    undo_left_over(connection)  # `executescript` would commit it
    before = _count_free(connection)
    # Not `execute`: it would stop after the first page, for which SQLite reports a row without columns.
    connection.executescript(f"PRAGMA incremental_vacuum({PAGES})")
    return 0 < _count_free(connection) < before


def _count_free(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(count)


def _free(connection: sqlite3.Connection, sizes: Iterable[tuple[int, int]]) -> None:
    """Takes what was removed off the sizes of namespaces."""
    freed: Counter[int] = Counter()
    for namespace, size in sizes:
        freed[namespace] += size
    for namespace, size in freed.items():
        connection.execute(_FREE_BYTES, (namespace, size))
