"""SQLite transactions as context managers."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what the block wrote when it ends; rolls back if the block or the commit fails.

    Raises:
        sqlite3.Error: It cannot begin or be committed.
    """
    undo_left_over(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(
            sqlite3.Error
        ):  # the first error matters; if this fails too, the next transaction rolls back
            undo_left_over(connection)
        raise


def undo_left_over(connection: sqlite3.Connection) -> None:
    """Rolls back a failed transaction, if one is still open: a full disk, for one, has ended it already.

    Raises:
        sqlite3.Error: It cannot be rolled back now.
    """
    if connection.in_transaction:
        connection.execute("ROLLBACK")
