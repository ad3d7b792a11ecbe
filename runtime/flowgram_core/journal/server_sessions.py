"""Server sessions in the SQLite file: when servers ran on it."""

import sqlite3

from flowgram_core.journal.interface import ServerSession
from flowgram_core.journal.transaction import transaction
from flowgram_core.journal.write_validation import PROCESSING

_DELETE_OLD = """
    DELETE FROM lives WHERE alive <= (SELECT coalesce(min(start_time), ?) FROM tasks WHERE status = ?)
"""
_FORMER = "SELECT began, alive FROM lives ORDER BY began"
_BEGIN = "INSERT OR IGNORE INTO lives (began, alive) VALUES (?1, ?1)"
_EXTEND = """
    INSERT INTO lives (began, alive) VALUES (?, ?)
    ON CONFLICT (began) DO UPDATE SET alive = max(alive, excluded.alive)
"""


def begin(connection: sqlite3.Connection, at: int) -> list[ServerSession]:
    """Records a new session, as in `Journal.begin_session`, in one transaction."""
    with transaction(connection):
        connection.execute(_DELETE_OLD, (at, PROCESSING))
        former = [ServerSession(*row) for row in connection.execute(_FORMER)]
        connection.execute(_BEGIN, (at,))
    return former


def extend(connection: sqlite3.Connection, session: ServerSession) -> None:
    """Extends a session, as in `Journal.extend_session`."""
    with transaction(connection):
        connection.execute(_EXTEND, (session.began, session.alive))
