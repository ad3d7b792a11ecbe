"""Queries: everything that is read from a SQLite journal."""

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowgram_core.journal.associated_data import (
    cause_associated_data,
    events_associated_data,
    inputs_associated_data,
    result_associated_data,
    schema_associated_data,
)
from flowgram_core.journal.checksums import (
    batch_checksum,
    hash_of_schema,
    inputs_checksum,
    result_checksum,
)
from flowgram_core.journal.encryption import is_sealed
from flowgram_core.journal.errors import JournalDamaged
from flowgram_core.journal.interface import Batch, TaskRecord
from flowgram_core.journal.sqlite_errors import is_damage
from flowgram_core.journal.stored_contents import ContentReader
from flowgram_core.journal.write_validation import UNFINISHED

_logger = logging.getLogger(__name__)

_STATUSES = frozenset(range(1, 6))
_NUMBER = int | None
_TYPES = (
    int,
    str,
    int,
    bytes,
    bytes,
    _NUMBER,
    str,
    int,
    _NUMBER,
    _NUMBER,
    int,
    str,
    bytes | None,
    _NUMBER,
    str | bytes,
    _NUMBER,
    str,
)
"""Types of a record's columns, which SQLite does not enforce."""

_PLAIN = ContentReader()
_NEWEST = 2**63 - 1
_NO_LIMIT = -1

_RECORD = """
    number, task_id, create_time, schema_hash, request_hash, timeout, labels, status, start_time, end_time,
    (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number),
    coalesce((SELECT name FROM display_names WHERE task = number), '')
"""
_TASK = """
    SELECT {record}, result, result_checksum, inputs, inputs_checksum, (SELECT name FROM namespaces WHERE id = namespace)
    FROM tasks WHERE {which}
"""
# Whose a task is stands in the index, and in its row behind its texts: the row is read only if it is the caller's, so that
# the time says nothing of the tasks of others.
_OWN_TASK = """
    number = (
        SELECT number FROM tasks INDEXED BY tasks_by_status
        WHERE namespace = (SELECT id FROM namespaces WHERE name = ?2) AND status IN (1, 2, 3, 4, 5)
            AND number = (SELECT number FROM tasks WHERE task_id = ?1))
"""
_OWN_REQUEST = "request_id = ?1 AND namespace = (SELECT id FROM namespaces WHERE name = ?2)"
_BY_TASK_ID, _BY_TASK_ID_IN_NAMESPACE, _BY_REQUEST = (
    _TASK.format(record=_RECORD, which=which) for which in ("task_id = ?1", _OWN_TASK, _OWN_REQUEST)
)
_SIGNING_KEY = "SELECT key FROM signing_keys ORDER BY id LIMIT 1"
_BYTES = "SELECT name, bytes FROM namespaces"
_SCHEMA = "SELECT text FROM schemas WHERE hash = ?"
_BATCHES = """
    SELECT task, first_sequence, last_sequence, at, checksum, cause, events FROM events
    WHERE task = (SELECT number FROM tasks WHERE task_id = ?) AND last_sequence > ? ORDER BY last_sequence
"""
_UNFINISHED = """
    SELECT number, name FROM namespaces CROSS JOIN tasks ON namespace = id AND status IN (?1, ?2) AND number > ?3
    ORDER BY number LIMIT ?4
"""
_SMALL = "SELECT {record}, NULL, NULL, '', NULL, ? FROM tasks"
_SMALL_BY_NUMBER = (_SMALL + " WHERE number = ?").format(record=_RECORD)
_PAGE_OF_NUMBERS = _SMALL + " WHERE number IN ({numbers}) ORDER BY number DESC LIMIT ?"
# One sub-query per status: within a status of a namespace the index is in the order of the page already.
_NUMBERS = """
    SELECT * FROM (SELECT number FROM tasks WHERE namespace = (SELECT id FROM namespaces WHERE name = ?)
        AND status = ? AND number < ?{conditions} ORDER BY number DESC LIMIT ?)
"""
_MERGED_NUMBERS = "SELECT number FROM ({numbers}) ORDER BY number DESC LIMIT ?"
_HAS_LABEL = " AND EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)"


def used_bytes(connection: sqlite3.Connection) -> int:
    """The size of the database without its free pages."""
    (pages,), (free,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def used_bytes_by_namespace(connection: sqlite3.Connection) -> Mapping[str, int]:
    """What is stored of the tasks of each namespace."""
    return dict(connection.execute(_BYTES).fetchall())


def signing_key(connection: sqlite3.Connection) -> bytes:
    """The key of this journal.

    Raises:
        JournalDamaged: It is not what was written.
    """
    row = connection.execute(_SIGNING_KEY).fetchone()
    if row is None or not isinstance(row[0], bytes):
        raise JournalDamaged("the journal is damaged: its signing key is not what was written")
    return bytes(row[0])


def task(
    connection: sqlite3.Connection,
    task_id: str,
    namespace: str | None = None,
    contents: ContentReader = _PLAIN,
) -> TaskRecord | None:
    """The task with this id, if it belongs to this namespace, or to any."""
    if namespace is None:
        row = connection.execute(_BY_TASK_ID, (task_id,)).fetchone()
    else:
        row = connection.execute(_BY_TASK_ID_IN_NAMESPACE, (task_id, namespace)).fetchone()
    return None if row is None else _record(row, contents)


def find_request(
    connection: sqlite3.Connection, request_id: str, namespace: str, contents: ContentReader = _PLAIN
) -> TaskRecord | None:
    """The task of a namespace with this request id."""
    row = connection.execute(_BY_REQUEST, (request_id, namespace)).fetchone()
    return None if row is None else _record(row, contents)


def schema(
    connection: sqlite3.Connection, schema_hash: bytes, contents: ContentReader = _PLAIN
) -> str | None:
    """The text of a schema.

    Raises:
        JournalDamaged: It is not what was written.
        JournalUndecipherable: It is encrypted with a key that is not there.
    """
    row = connection.execute(_SCHEMA, (schema_hash,)).fetchone()
    if row is None:
        return None
    text = contents.text(row[0], schema_associated_data(schema_hash), f"the schema {schema_hash.hex()}")
    if hash_of_schema(text) != schema_hash:
        raise JournalDamaged(
            f"the journal is damaged: the schema {schema_hash.hex()} is not what was written"
        )
    return text


def read(
    connection: sqlite3.Connection,
    task_id: str,
    after_sequence: int,
    max_bytes: int,
    contents: ContentReader = _PLAIN,
) -> list[Batch]:
    """Part of a task's log, as in `Journal.read`.

    Raises:
        JournalDamaged: A batch is not what was written.
        JournalUndecipherable: It is encrypted with a key that is not there.
    """
    batches: list[Batch] = []
    size = 0
    cursor = connection.execute(_BATCHES, (task_id, after_sequence))
    try:
        for number, first, last, at, expected, stored_cause, stored_events in cursor:
            cause, events = stored_cause, stored_events
            if not isinstance(events, bytes) or batch_checksum(cause, events) != expected:
                raise JournalDamaged(
                    f"the journal is damaged: events {first} to {last} of task {task_id!r} are not what was written"
                )
            size += len(events)
            if batches and size > max_bytes:
                break
            if is_sealed(events) or isinstance(cause, bytes):
                what = f"the event {last} of task {task_id!r}"
                events = contents.content(events, events_associated_data(number, last), what)
                cause = (
                    None if cause is None else contents.text(cause, cause_associated_data(number, last), what)
                )
            batches.append(Batch(first, last, at, cause, events))
    finally:
        cursor.close()  # an unfinished statement would block checkpoints
    return batches


def tasks(
    connection: sqlite3.Connection,
    namespace: str,
    limit: int,
    before: int | None,
    statuses: frozenset[int],
    labels: Mapping[str, str],
) -> list[TaskRecord]:
    """A page of tasks, as in `Journal.tasks`. Unreadable tasks are logged and left out."""
    last = _NEWEST if before is None else min(before, _NEWEST)
    wanted = _Filter(namespace, limit, last, statuses or _STATUSES, labels)
    try:
        return _page(connection, wanted)
    except (sqlite3.DatabaseError, JournalDamaged):
        return _page_one_by_one(connection, wanted)


class _Filter(NamedTuple):
    """The filter of a page of tasks."""

    namespace: str
    limit: int
    before: int
    statuses: frozenset[int]
    labels: Mapping[str, str]


def _page(connection: sqlite3.Connection, wanted: _Filter) -> list[TaskRecord]:
    namespace, limit, before, statuses, labels = wanted
    conditions = _HAS_LABEL * len(labels)
    texts = [text for label in labels.items() for text in label]
    numbers = " UNION ALL ".join([_NUMBERS.format(conditions=conditions)] * len(statuses))
    values = [value for status in sorted(statuses) for value in (namespace, status, before, *texts, limit)]
    rows = connection.execute(
        _PAGE_OF_NUMBERS.format(record=_RECORD, numbers=numbers), (namespace, *values, limit)
    )
    return [_record(row) for row in rows.fetchall()]


def _page_one_by_one(connection: sqlite3.Connection, wanted: _Filter) -> list[TaskRecord]:
    """Reads a page with damage in it: finds the tasks by an index alone, and reads them one by one."""
    namespace, limit, before, statuses, labels = wanted
    numbers = " UNION ALL ".join([_NUMBERS.format(conditions="")] * len(statuses))
    query = _MERGED_NUMBERS.format(numbers=numbers)
    records: list[TaskRecord] = []
    while len(records) < limit:
        values = [value for status in sorted(statuses) for value in (namespace, status, before, limit)]
        found = [number for (number,) in connection.execute(query, (*values, limit)).fetchall()]
        records += [
            record
            for record in _readable(connection, [(namespace, number) for number in found])
            if labels.items() <= record.labels.items()
        ]
        if len(found) < limit:
            break
        before = found[-1]
    return records[:limit]


def unfinished(connection: sqlite3.Connection, after: int, limit: int | None) -> list[TaskRecord]:
    """Unfinished tasks, as in `Journal.unfinished`. Unreadable ones are logged and left out."""
    records: list[TaskRecord] = []
    while limit is None or len(records) < limit:
        wanted = _NO_LIMIT if limit is None else limit - len(records)
        rows = connection.execute(_UNFINISHED, (*UNFINISHED, after, wanted)).fetchall()
        records += _readable(connection, [(namespace, number) for number, namespace in rows])
        if len(rows) != wanted:
            break
        after, _ = rows[-1]
    return records


def _readable(connection: sqlite3.Connection, wanted: Sequence[tuple[str, int]]) -> list[TaskRecord]:
    """The tasks of these namespaces with these numbers, except damaged ones, which are logged.

    Raises:
        sqlite3.Error: They cannot be read for a reason other than damage.
    """
    records = []
    for namespace, number in wanted:
        try:
            row = connection.execute(_SMALL_BY_NUMBER, (namespace, number)).fetchone()
            if row is not None:  # it may be removed by now
                records.append(_record(row))
        except (sqlite3.DatabaseError, JournalDamaged) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            _logger.error("the journal is damaged: task number %d cannot be read: %s", number, error)  # noqa: TRY400 - no defect
    return records


def _record(row: tuple[Any, ...], contents: ContentReader = _PLAIN) -> TaskRecord:
    (
        number, task_id, create_time, schema_hash, request_hash, timeout, labels, status, start_time, end_time,
        last_sequence, display_name, result, checksum_of_result, inputs, checksum_of_inputs, namespace,
    ) = row  # fmt: skip
    if not all(map(isinstance, row, _TYPES)) or status not in _STATUSES:
        raise JournalDamaged(
            f"the journal is damaged: the record of task number {number} is not what was written"
        )
    found = _labels(labels)
    if found is None:
        raise JournalDamaged(
            f"the journal is damaged: the labels of task {task_id!r} are not what was written"
        )
    if checksum_of_result is not None and result_checksum(result) != checksum_of_result:
        raise JournalDamaged(
            f"the journal is damaged: the result of task {task_id!r} is not what was written"
        )
    if checksum_of_inputs is not None and inputs_checksum(inputs) != checksum_of_inputs:
        raise JournalDamaged(
            f"the journal is damaged: the inputs of task {task_id!r} are not what was written"
        )
    if isinstance(inputs, bytes):
        inputs = contents.text(inputs, inputs_associated_data(number), f"the inputs of task {task_id!r}")
    if is_sealed(result):
        result = contents.content(result, result_associated_data(number), f"the result of task {task_id!r}")
    return TaskRecord(
        task_id=task_id,
        create_time=create_time,
        inputs=inputs,
        schema_hash=schema_hash,
        labels=found,
        timeout=timeout,
        status=status,
        start_time=start_time,
        end_time=end_time,
        last_sequence=last_sequence,
        result=result,
        order=number,
        request_hash=request_hash,
        display_name=display_name,
        namespace=namespace,
    )


def _labels(text: str) -> dict[str, str] | None:
    """The labels of a task; None if they are damaged."""
    try:
        labels = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        return None
    return labels
