"""Group commit: many writes as one SQLite transaction of few statements.

Whatever its size, a group takes BEGIN, at most two look-ups, one INSERT per table and 64 rows, one UPDATE per 64 rows,
one for the sizes of namespaces, and COMMIT. A task that is accepted and finished in one group is inserted in its final state.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

from flowgram_core.journal import crashes, retention, server_sessions
from flowgram_core.journal.encryption import Sealer
from flowgram_core.journal.errors import InvalidWrite, JournalError, WriteRejected
from flowgram_core.journal.group_rows import GroupRows, KnownTask, Row
from flowgram_core.journal.interface import RemovedTask, ServerSession, Write
from flowgram_core.journal.sqlite_errors import unavailable
from flowgram_core.journal.transaction import transaction
from flowgram_core.journal.write_validation import UNFINISHED, TaskState

_ROWS = 64
"""Rows per statement. Each number of rows is a separate statement to compile and cache, so it is bounded."""

_KNOWN_SCHEMAS = 10_000
"""Hashes remembered as stored. Evicting one costs an insert that does nothing."""

_NEXT_NUMBER = """
    SELECT 1 + max((SELECT coalesce(max(number), 0) FROM tasks), (SELECT coalesce(max(task), 0) FROM removed))
"""
_STATES = """
    SELECT task_id, number, namespace, status, (SELECT coalesce(max(last_sequence), 0) FROM events WHERE task = number)
    FROM ({values}) AS wanted CROSS JOIN tasks ON task_id = wanted.column1
"""
_REQUESTS = """
    SELECT namespace, request_id FROM ({values}) AS wanted
    CROSS JOIN tasks ON request_id = wanted.column2 AND namespace = wanted.column1
"""
_NAMESPACES = "SELECT name, id FROM namespaces"
_ADD_NAMESPACES = "INSERT INTO namespaces (id, name) {values}"
_ADD_BYTES = """
    UPDATE namespaces SET bytes = bytes + new.column2 FROM ({values}) AS new WHERE id = new.column1
"""
_ADD_SCHEMAS = "INSERT OR IGNORE INTO schemas (hash, text) {values}"
_ADD_TASKS = """
    INSERT INTO tasks (number, task_id, create_time, schema_hash, request_id, request_hash, timeout, labels,
        status, start_time, end_time, result, result_checksum, inputs, inputs_checksum, namespace) {values}
"""
_ADD_NAMES = "INSERT INTO display_names (task, name) {values}"
_ADD_EVENTS = """
    INSERT INTO events (task, first_sequence, last_sequence, at, checksum, cause, events) {values}
"""
_UPDATE_TASKS = """
    UPDATE tasks SET status = new.column2, start_time = coalesce(new.column3, start_time),
        end_time = new.column4, result = new.column5, result_checksum = new.column6
    FROM ({values}) AS new WHERE number = new.column1
"""

_FAILURES_OF_ALL = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_PROTOCOL,
}
"""Errors of the file, which affect every write alike: retried one by one, each would fail again, and wait for a lock each time.

A full disk (FULL) is not among them: it costs no wait, and a smaller write, such as the end of a task, may still fit. Nor
is damage (CORRUPT): it concerns some pages, and others can be written.
"""


class Writer:
    """Applies groups of writes to a connection. Not for more than one thread at a time.

    It caches the state of unfinished tasks, so that a write needs no look-up.

    Args:
        connection: Of the file.
        path: The file.
        sealer: Encrypts contents; None: they are stored as they are.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, sealer: Sealer | None = None) -> None:
        self._connection = connection
        self._path = path
        self._sealer = sealer
        self._states: dict[str, KnownTask] = {}  # by task id
        self._schemas: set[bytes] = set()
        self._namespaces: dict[str, int] = dict(connection.execute(_NAMESPACES).fetchall())
        (self._next_number,) = connection.execute(_NEXT_NUMBER).fetchone()

    def apply(self, writes: Sequence[Write]) -> list[JournalError | None]:
        """Makes writes durable in one transaction if possible.

        Returns:
            For each write its error, or None. A rejected write does not affect the others.
        """
        try:
            return list(self._transact(writes))
        except (sqlite3.Error, ValueError, OverflowError) as error:
            if len(writes) == 1 or _concerns_all(error):
                return [self._explain(write, error) for write in writes]
        return [outcome for write in writes for outcome in self.apply([write])]

    def remove_finished(self, last: retention.End, limit: int) -> list[RemovedTask]:
        """Removes the first tasks that ended no later than `last`, without their logs; says which.

        Raises:
            sqlite3.Error: Nothing was removed.
        """
        self._schemas.clear()  # some may go with the tasks
        return retention.remove_tasks(self._connection, last, limit)

    def remove_logs(self) -> bool:
        """Removes a slice of the logs of removed tasks; says whether there is more.

        Raises:
            sqlite3.Error: Nothing was removed.
        """
        return retention.remove_logs(self._connection)

    def free_pages(self) -> bool:
        """Returns some free pages to the file system; says whether there are more.

        Raises:
            sqlite3.Error: The file is unchanged.
        """
        return retention.free_pages(self._connection)

    def begin_session(self, at: int) -> list[ServerSession]:
        """Records a new session, and returns the earlier ones.

        Raises:
            sqlite3.Error: It was not recorded.
        """
        return server_sessions.begin(self._connection, at)

    def extend_session(self, session: ServerSession) -> None:
        """Extends a session.

        Raises:
            sqlite3.Error: It is unchanged.
        """
        server_sessions.extend(self._connection, session)

    def record_crashes(self, task_ids: Sequence[str], session: int) -> Mapping[str, int]:
        """Counts the crashes of a session, and returns all that count.

        Raises:
            sqlite3.Error: Nothing was counted.
        """
        return crashes.record(self._connection, task_ids, session)

    def forget_crashes(self, task_id: str) -> None:
        """Forgets the crashes of a task.

        Raises:
            sqlite3.Error: They are as they were.
        """
        crashes.clear(self._connection, task_id)

    def _explain(self, write: Write, error: Exception) -> JournalError:
        cause: JournalError
        if isinstance(error, sqlite3.IntegrityError):
            cause = InvalidWrite(f"task {write.task_id!r} exists already")
        elif not isinstance(error, sqlite3.Error) or isinstance(
            error, sqlite3.DataError | sqlite3.InterfaceError | sqlite3.ProgrammingError
        ):
            cause = InvalidWrite(f"task {write.task_id!r}: a value is too large or cannot be stored")
        else:
            cause = unavailable(self._path, error)
        cause.__cause__ = error
        return cause

    def _transact(self, writes: Sequence[Write]) -> list[WriteRejected | None]:
        connection = self._connection
        with transaction(connection):
            new_namespaces = self._new_namespaces(writes)
            namespaces = {**self._namespaces, **new_namespaces} if new_namespaces else self._namespaces
            group = GroupRows(
                self._next_number,
                self._look_up(writes),
                self._taken_requests(writes, namespaces),
                self._schemas,
                namespaces,
                self._sealer,
            )
            outcomes = [group.add(write) for write in writes]
            _write(connection, _ADD_NAMESPACES, [(number, name) for name, number in new_namespaces.items()])
            _write(connection, _ADD_SCHEMAS, group.new_schemas())
            _write(connection, _ADD_TASKS, group.new_tasks())
            _write(connection, _ADD_NAMES, group.new_names())
            _write(connection, _ADD_EVENTS, group.events)
            _write(connection, _UPDATE_TASKS, group.updates())
            _write(connection, _ADD_BYTES, [*group.sizes.items()])
        self._namespaces.update(new_namespaces)
        self._remember(group)
        return outcomes

    def _new_namespaces(self, writes: Sequence[Write]) -> dict[str, int]:
        """The numbers of the namespaces of which these tasks are the first."""
        known = self._namespaces
        new: dict[str, int] = {}
        for write in writes:
            if write.accept is not None and (name := write.accept.namespace) not in known:
                new.setdefault(name, len(known) + len(new) + 1)  # none is ever removed
        return new

    def _look_up(self, writes: Sequence[Write]) -> dict[str, KnownTask]:
        """What there is of each stored task among these writes. Tasks to accept are assumed to be new."""
        known = self._states
        states = {write.task_id: known[write.task_id] for write in writes if write.task_id in known}
        unknown = {write.task_id for write in writes if write.accept is None} - states.keys()
        rows = _query(self._connection, _STATES, [(task_id,) for task_id in unknown])
        for task_id, number, namespace, status, last_sequence in rows:
            states[task_id] = KnownTask(number, namespace, TaskState(status, last_sequence))
        return states

    def _taken_requests(self, writes: Sequence[Write], namespaces: Mapping[str, int]) -> set[tuple[int, str]]:
        """Those of the request ids, with the numbers of their namespaces, that stored tasks have."""
        requests = [
            (namespaces[write.accept.namespace], write.accept.request_id)
            for write in writes
            if write.accept and write.accept.request_id
        ]
        return {
            (namespace, request_id) for namespace, request_id in _query(self._connection, _REQUESTS, requests)
        }

    def _remember(self, group: GroupRows) -> None:
        self._next_number = group.next_number
        for task_id, known in group.states.items():
            if known.state.status in UNFINISHED:
                self._states[task_id] = known
            elif task_id in self._states:
                del self._states[task_id]
        if len(self._schemas) > _KNOWN_SCHEMAS:
            self._schemas.clear()
        self._schemas.update(group.schemas)


def _concerns_all(error: Exception) -> bool:
    """Whether a group failed for a reason that does not lie in one of its writes."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _FAILURES_OF_ALL


@cache
def _statement(template: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return template.format(values=f"VALUES {', '.join([row] * rows)}")


def _statements(template: str, values: Sequence[Row]) -> Iterator[tuple[str, list[Any]]]:
    """A statement with these rows of values, or several if they are many."""
    for start in range(0, len(values), _ROWS):
        part = values[start : start + _ROWS]
        yield _statement(template, len(part[0]), len(part)), [*chain.from_iterable(part)]


def _query(connection: sqlite3.Connection, template: str, values: Sequence[Row]) -> list[Row]:
    """The rows that a statement gives for these rows of values."""
    found: list[Row] = []
    for statement, parameters in _statements(template, values):
        found += connection.execute(statement, parameters)
    return found


def _write(connection: sqlite3.Connection, template: str, values: Sequence[Row]) -> None:
    """Writes these rows of values."""
    for statement, parameters in _statements(template, values):
        # Unlike `execute`, this does not look up the number of the last row, which would release the interpreter lock.
        connection.executemany(statement, (parameters,))
