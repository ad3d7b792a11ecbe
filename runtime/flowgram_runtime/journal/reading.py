"""What is read from a SQLite journal."""

import json
import logging
import sqlite3
from collections.abc import Mapping
from typing import Any

from flowgram_runtime.journal.errors import JournalDamaged
from flowgram_runtime.journal.port import Batch, TaskRecord
from flowgram_runtime.journal.rules import UNFINISHED
from flowgram_runtime.journal.writing import checksum

_logger = logging.getLogger(__name__)

_NEWEST = 2**63 - 1
_NO_LIMIT = -1
_PAGE_BYTES = 16 * 1024 * 1024
"""A page of unfinished tasks ends early once their inputs have so many characters."""

_RECORD = """
    number, task_id, create_time, schema_hash, request_hash, timeout, labels, status, start_time, end_time,
    (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number)
"""
_TASK = "SELECT {record}, result, inputs FROM tasks WHERE {key} = ?"
_BY_TASK_ID, _BY_REQUEST, _BY_NUMBER = (
    _TASK.format(record=_RECORD, key=key) for key in ("task_id", "request_id", "number")
)
_SCHEMA = "SELECT text FROM schemas WHERE hash = ?"
_BATCHES = """
    SELECT first_sequence, last_sequence, at, checksum, cause, events FROM events
    WHERE task = (SELECT number FROM tasks WHERE task_id = ?) AND last_sequence > ? ORDER BY last_sequence
"""
_UNFINISHED = """
    SELECT number FROM (SELECT number FROM tasks WHERE status = ?1 AND number > ?3
        UNION ALL SELECT number FROM tasks WHERE status = ?2 AND number > ?3)
    ORDER BY number LIMIT ?4
"""
_PAGE = "SELECT {record}, NULL, '' FROM tasks WHERE number < ?{conditions} ORDER BY number DESC LIMIT ?"
_PAGE_OF_NUMBERS = (
    "SELECT {record}, NULL, '' FROM tasks WHERE number IN ({numbers}) ORDER BY number DESC LIMIT ?"
)
# One sub-query per status: within a status the index is in the order of the page already.
_NUMBERS = """
    SELECT * FROM (SELECT number FROM tasks WHERE status = ? AND number < ?{conditions} ORDER BY number DESC LIMIT ?)
"""
_HAS_LABEL = " AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)"


def task(connection: sqlite3.Connection, task_id: str) -> TaskRecord | None:
    """The task with this id."""
    row = connection.execute(_BY_TASK_ID, (task_id,)).fetchone()
    return None if row is None else _record(row)


def find_request(connection: sqlite3.Connection, request_id: str) -> TaskRecord | None:
    """The task with this request id."""
    row = connection.execute(_BY_REQUEST, (request_id,)).fetchone()
    return None if row is None else _record(row)


def schema(connection: sqlite3.Connection, schema_hash: bytes) -> str | None:
    """The text of a schema."""
    row = connection.execute(_SCHEMA, (schema_hash,)).fetchone()
    return None if row is None else str(row[0])


def read(connection: sqlite3.Connection, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
    """Part of a task's log, as in `Journal.read`.

    Raises:
        JournalDamaged: A batch is not what was written.
    """
    batches: list[Batch] = []
    size = 0
    cursor = connection.execute(_BATCHES, (task_id, after_sequence))
    try:
        for first, last, at, expected, cause, events in cursor:
            if checksum(cause, events) != expected:
                raise JournalDamaged(
                    f"the journal is damaged: events {first} to {last} of task {task_id!r} are not what was written"
                )
            size += len(events)
            if batches and size > max_bytes:
                break
            batches.append(Batch(first, last, at, cause, events))
    finally:
        cursor.close()  # a statement that was not read to its end would keep the log from being carried over
    return batches


def tasks(
    connection: sqlite3.Connection,
    limit: int,
    before: int | None,
    statuses: frozenset[int],
    labels: Mapping[str, str],
) -> list[TaskRecord]:
    """A page of tasks, as in `Journal.tasks`."""
    before = _NEWEST if before is None else min(before, _NEWEST)
    conditions = _HAS_LABEL * len(labels)
    wanted = [text for label in labels.items() for text in label]
    if not statuses:
        page = _PAGE.format(record=_RECORD, conditions=conditions)
        rows = connection.execute(page, (before, *wanted, limit))
    else:
        numbers = " UNION ALL ".join([_NUMBERS.format(conditions=conditions)] * len(statuses))
        page = _PAGE_OF_NUMBERS.format(record=_RECORD, numbers=numbers)
        values = [value for status in sorted(statuses) for value in (status, before, *wanted, limit)]
        rows = connection.execute(page, (*values, limit))
    return [_record(row) for row in rows.fetchall()]


def unfinished(connection: sqlite3.Connection, after: int, limit: int | None) -> list[TaskRecord]:
    """Unfinished tasks, as in `Journal.unfinished`. One that cannot be read is reported and left out."""
    numbers = connection.execute(
        _UNFINISHED, (*UNFINISHED, after, _NO_LIMIT if limit is None else limit)
    ).fetchall()
    records = []
    size = 0
    for (number,) in numbers:
        try:
            row = connection.execute(_BY_NUMBER, (number,)).fetchone()
            if row is not None:  # it may be removed by now
                record = _record(row)
                records.append(record)
                size += len(record.inputs)
        except (sqlite3.DatabaseError, json.JSONDecodeError):
            _logger.exception("the journal is damaged: unfinished task number %d cannot be read", number)
        if limit is not None and size >= _PAGE_BYTES:
            break
    return records


def _record(row: tuple[Any, ...]) -> TaskRecord:
    (
        number, task_id, create_time, schema_hash, request_hash, timeout, labels, status, start_time, end_time,
        last_sequence, result, inputs,
    ) = row  # fmt: skip
    return TaskRecord(
        task_id=task_id,
        create_time=create_time,
        inputs=inputs,
        schema_hash=schema_hash,
        labels=json.loads(labels),
        timeout=timeout,
        status=status,
        start_time=start_time,
        end_time=end_time,
        last_sequence=last_sequence,
        result=result,
        order=number,
        request_hash=request_hash,
    )
