"""The lives of servers in the SQLite file."""

import sqlite3

from flowgram_core.journal.interface import ServerSession
from flowgram_core.journal.transaction import transaction
from flowgram_core.journal.write_validation import PROCESSING

_FORGET = """
    DELETE FROM lives WHERE alive <= (SELECT coalesce(min(start_time), ?) FROM tasks WHERE status = ?)
"""
_FORMER = "SELECT began, alive FROM lives ORDER BY began"
_BEGIN = "INSERT OR IGNORE INTO lives (began, alive) VALUES (?1, ?1)"
_EXTEND = """
    INSERT INTO lives (began, alive) VALUES (?, ?)
    ON CONFLICT (began) DO UPDATE SET alive = max(alive, excluded.alive)
"""


def begin(connection: sqlite3.Connection, at: int) -> list[ServerSession]:
    """Begins a life, as in `Journal.begin_life`, in one transaction."""
    with transaction(connection):
        connection.execute(_FORGET, (at, PROCESSING))
        former = [ServerSession(*row) for row in connection.execute(_FORMER)]
        connection.execute(_BEGIN, (at,))
    return former


def extend(connection: sqlite3.Connection, life: ServerSession) -> None:
    """Extends a life, as in `Journal.extend_life`."""
    with transaction(connection):
        connection.execute(_EXTEND, (life.began, life.alive))
