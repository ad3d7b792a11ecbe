"""Server sessions in the SQLite file: when servers ran on it."""

import sqlite3

from flowgram_core.journal.interface import ServerSession
from flowgram_core.journal.transaction import transaction
from flowgram_core.journal.write_validation import PROCESSING

# Sessions follow each other by number. Their times may not: a session stays as long as one before it is needed.
_DELETE_OLD = """
    DELETE FROM server_sessions WHERE number < coalesce(
        (SELECT min(number) FROM server_sessions
            WHERE alive > (SELECT min(start_time) FROM namespaces CROSS JOIN tasks ON namespace = id AND status = ?)),
        (SELECT max(number) + 1 FROM server_sessions))
"""
_FORMER = "SELECT began, alive FROM server_sessions ORDER BY number"
_BEGIN = "INSERT INTO server_sessions (began, alive) VALUES (?1, ?1)"
_EXTEND = """
    UPDATE server_sessions SET alive = max(alive, ?2)
    WHERE number = (SELECT max(number) FROM server_sessions) AND began = ?1
"""
_INSERT = "INSERT INTO server_sessions (began, alive) VALUES (?, ?)"


def begin(connection: sqlite3.Connection, at: int) -> list[ServerSession]:
    """Records a new session, as in `Journal.begin_session`, in one transaction."""
    with transaction(connection):
        connection.execute(_DELETE_OLD, (PROCESSING,))
        former = [ServerSession(*row) for row in connection.execute(_FORMER)]
        connection.execute(_BEGIN, (at,))
    return former


def extend(connection: sqlite3.Connection, session: ServerSession) -> None:
    """Extends a session, as in `Journal.extend_session`."""
    with transaction(connection):
        if not connection.execute(_EXTEND, session).rowcount:
            connection.execute(_INSERT, session)
