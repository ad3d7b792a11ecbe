"""The tables of the SQLite journal, and how files of older versions are migrated.

`PRAGMA user_version` counts the migrations that a file has seen; each runs once, in one transaction. A migration that was
released is never changed: the next one follows it.

Tables:
    tasks: One row per task. `number` is the order of acceptance. The texts come last, so that pages of tasks are read
        without them. The end of a task's log is read from the log, so that appending to it rewrites no task. The checksums
        are the CRC-32 of the texts; tasks of older versions have none.
    namespaces: The namespaces that tasks belong to, with the size of what is stored of their tasks: bytes of events and results,
        and characters of inputs. A task has the number of its namespace, `namespace`: behind its texts, so that pages of tasks
        take it from the index.
    display_names: The names of tasks that have one. A column that was added to `tasks` would lie behind its texts, which a
        page of tasks would have to read then.
    schemas: The schemas' texts, each stored once for all tasks that use it, under its SHA-256.
    events: The logs, one row per batch. The rows lie in the order in which they were written, whatever their task
        (measured cheaper, also for large rows, than a table that is sorted by its key); the key is an index beside it.
        `checksum` is the CRC-32 of `cause` and `events`.
    removed: Numbers of removed tasks whose logs still have to be removed, with their namespaces.
    encryption_keys: The names of the keys with which contents were encrypted, each with a value that only that key opens. Contents
        (`text`, `inputs`, `result`, `cause`, `events`) that are encrypted are BLOBs with a mark; see `encryption`.
    signing_keys: One key, made with the file: what the servers on it sign.
    server_sessions: When servers ran on the file, in the order in which they began, as far back as the running tasks need it.
        By number, not by time: the clock may have been set back between two of them.
    crashes: Per task how many processes died in a row while they worked on it, with the task's last event and the session at
        the last of them.
"""

import sqlite3

from flowgram_core.journal.transaction import transaction

APPLICATION_ID = 0x464C4F57
"""Marks the file as a journal (`PRAGMA application_id`): the letters FLOW."""

_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE tasks (
            number INTEGER PRIMARY KEY,
            task_id TEXT NOT NULL UNIQUE,
            create_time INTEGER NOT NULL,
            schema_hash BLOB NOT NULL,
            request_id TEXT,
            request_hash BLOB NOT NULL,
            timeout INTEGER,
            labels TEXT NOT NULL,
            status INTEGER NOT NULL,
            start_time INTEGER,
            end_time INTEGER,
            result BLOB,
            inputs TEXT NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX tasks_by_request ON tasks (request_id) WHERE request_id IS NOT NULL",
        "CREATE INDEX tasks_by_status ON tasks (status)",
        "CREATE INDEX tasks_by_end ON tasks (end_time) WHERE end_time IS NOT NULL",
        "CREATE INDEX tasks_by_schema ON tasks (schema_hash)",
        "CREATE TABLE schemas (hash BLOB NOT NULL PRIMARY KEY, text TEXT NOT NULL)",
        """
        CREATE TABLE events (
            task INTEGER NOT NULL,
            first_sequence INTEGER NOT NULL,
            last_sequence INTEGER NOT NULL,
            at INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            cause TEXT,
            events BLOB NOT NULL,
            PRIMARY KEY (task, last_sequence)
        )
        """,
        "CREATE TABLE removed (task INTEGER PRIMARY KEY)",
    ),
    ("CREATE TABLE lives (began INTEGER PRIMARY KEY, alive INTEGER NOT NULL)",),
    (
        "ALTER TABLE tasks ADD COLUMN inputs_checksum INTEGER",
        "ALTER TABLE tasks ADD COLUMN result_checksum INTEGER",
    ),
    ("CREATE TABLE display_names (task INTEGER PRIMARY KEY, name TEXT NOT NULL)",),
    (
        "CREATE TABLE server_sessions (number INTEGER PRIMARY KEY, began INTEGER NOT NULL, alive INTEGER NOT NULL)",
        "INSERT INTO server_sessions (began, alive) SELECT began, alive FROM lives ORDER BY began",
        "DROP TABLE lives",
        """
        CREATE TABLE crashes (
            task INTEGER PRIMARY KEY,
            last_sequence INTEGER NOT NULL,
            session INTEGER NOT NULL,
            count INTEGER NOT NULL
        )
        """,
    ),
    (
        """
        CREATE TABLE namespaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL DEFAULT 0)
        """,
        """
        INSERT INTO namespaces (id, name, bytes) VALUES (1, 'default',
            (SELECT coalesce(sum(length(inputs) + coalesce(length(result), 0)), 0) FROM tasks)
            + (SELECT coalesce(sum(length(events)), 0) FROM events))
        """,
        "ALTER TABLE tasks ADD COLUMN namespace INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE removed ADD COLUMN namespace INTEGER NOT NULL DEFAULT 1",
        "DROP INDEX tasks_by_status",
        "CREATE INDEX tasks_by_status ON tasks (namespace, status)",
        "DROP INDEX tasks_by_request",
        "CREATE UNIQUE INDEX tasks_by_request ON tasks (request_id, namespace) WHERE request_id IS NOT NULL",
        "CREATE TABLE signing_keys (id INTEGER PRIMARY KEY, key BLOB NOT NULL)",
        "INSERT INTO signing_keys (key) VALUES (randomblob(32))",
    ),
    ("CREATE TABLE encryption_keys (name TEXT PRIMARY KEY, proof BLOB NOT NULL)",),
)

VERSION = len(_MIGRATIONS)
"""The version of the tables that this program uses."""


class UnknownVersion(Exception):
    """A file is not a journal, or is from a newer version. The text says which."""


def version_of(connection: sqlite3.Connection) -> int:
    """The schema version of an open file; 0 if it is empty. Reads only.

    Raises:
        UnknownVersion: It is not a journal, or a newer version wrote it.
        sqlite3.Error: It cannot be read.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and (application_id or version or tables):
        raise UnknownVersion("is a database, but not a journal")
    if version > VERSION:
        raise UnknownVersion(
            f"was written by a newer program: it has version {version}, this program knows versions up to {VERSION}"
        )
    return int(version)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Brings a file from a version to the current one, each step all or nothing.

    Raises:
        sqlite3.Error: It cannot be read or written.
    """
    for number, statements in enumerate(_MIGRATIONS[version:], start=version + 1):
        with transaction(connection):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
