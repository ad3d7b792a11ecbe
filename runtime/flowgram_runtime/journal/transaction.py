"""A transaction as a block."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commits what the block wrote when it ends; undoes it if the block or the commit fails.

    Raises:
        sqlite3.Error: It cannot begin or be committed.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk, for one, ends it already
            connection.execute("ROLLBACK")
        raise
