"""A transaction as a block."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what the block wrote when it ends; undoes it if the block or the commit fails.

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
        ):  # what failed first is what tells; if this fails too, the next transaction undoes it
            undo_left_over(connection)
        raise


def undo_left_over(connection: sqlite3.Connection) -> None:
    """Undoes a transaction that has failed; nothing if there is none: a full disk, for one, ends it already.

    Raises:
        sqlite3.Error: It cannot be undone now.
    """
    if connection.in_transaction:
        connection.execute("ROLLBACK")
