"""A journal that cannot be written: it shows what is stored, adds nothing, and touches no file."""

import base64
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import accepted, batch, every_call, finished, ids_of

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.encryption import Keys
from flowgram_core.journal.errors import (
    DuplicateRequest,
    JournalClosed,
    JournalDamaged,
    JournalUnavailable,
    JournalUndecipherable,
)
from flowgram_core.journal.interface import ServerSession, Write
from flowgram_core.journal.migrations import VERSION
from flowgram_core.journal.read_only import ReadOnlyJournal, open_journal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.sqlite_errors import cannot_write

REASON = JournalUnavailable("it is on a stone")


@pytest.fixture(params=["closed", "killed", "killed, without index"])
async def stored(request: pytest.FixtureRequest, path: Path, tmp_path: Path) -> Path:
    """A journal as a server leaves it; there is no lock beside it."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("done", request_id="r", schema="a schema", labels={"a": "b"}))
    await journal.commit(accepted("running", batch(1)))
    if request.param == "closed":
        await journal.close()
    copy = tmp_path / "copy" / path.name
    shutil.copytree(path.parent, copy.parent)
    if request.param != "closed":
        await journal.close()
    if request.param == "killed, without index":
        copy.with_name(copy.name + "-shm").unlink()
    copy.with_name(copy.name + ".lock").unlink()
    return copy


def garble(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1_000)


def flip_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


async def test_it_shows_what_is_stored_and_touches_nothing(stored: Path) -> None:
    """Everything can be read, also what is only in the write-ahead log, and each file stays as it is."""
    before = files(stored)
    journal = await ReadOnlyJournal.open(stored, REASON)
    records = await journal.tasks(limit=9, before=None, statuses=frozenset(), labels={})
    assert [record.task_id for record in records] == ["running", "done"]
    found = await journal.find_request("r")
    assert found is not None
    assert (found.task_id, found.result) == ("done", b"result")
    assert await journal.schema(hash_of_schema("a schema")) == "a schema"
    assert await journal.read("running", 0, 1 << 20) == [batch(1)]
    await journal.close()
    with pytest.raises(JournalClosed):
        await journal.task("done")
    assert files(stored) == before


async def test_it_adds_nothing(stored: Path) -> None:
    """Commits are refused with the reason, a known request with its task; nothing goes on, nothing is removed."""
    before = files(stored)
    journal = await ReadOnlyJournal.open(stored, REASON)
    with pytest.raises(JournalUnavailable, match="'new' cannot be written: it is on a stone"):
        await journal.commit(accepted("new", request_id="n"))
    with pytest.raises(JournalUnavailable, match="it is on a stone"):
        await journal.commit(Write("running", batches=(batch(2),)))
    with pytest.raises(DuplicateRequest):
        await journal.commit(accepted("new", request_id="r"))
    assert await journal.unfinished() == []
    assert await journal.begin_session(5) == []
    await journal.extend_session(ServerSession(5, 6))
    assert ids_of(await journal.remove_finished(ended_before=10**18, keep_newest=0, limit=9)) == []
    assert await journal.record_crashes(["running"], 1) == {}
    await journal.close()
    for call in every_call(journal):
        with pytest.raises(JournalClosed):
            await call()
    assert files(stored) == before


async def test_a_damaged_log_that_was_carried_over_is_not_read(path: Path, tmp_path: Path) -> None:
    """What of it can be read would hide newer pages of the file."""
    journal = await SQLiteJournal.open(path)
    for number in range(20):
        await journal.commit(finished(f"task-{number}"))
    journal._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    copy = tmp_path / "copy" / path.name
    shutil.copytree(path.parent, copy.parent)
    await journal.close()
    flip_in_the_middle(copy.with_name(copy.name + "-wal"))
    read_only = await ReadOnlyJournal.open(copy, REASON)
    assert len(await read_only.tasks(limit=99, before=None, statuses=frozenset(), labels={})) == 20
    await read_only.close()


async def test_a_file_that_another_server_writes_is_refused(path: Path, sqlite: SQLiteJournal) -> None:
    """What is read without locks must not change meanwhile; and it keeps others from writing it."""
    await sqlite.commit(accepted("a"))
    with pytest.raises(JournalUnavailable, match="in use by another server"):
        await ReadOnlyJournal.open(path, REASON)
    await sqlite.close()
    journal = await ReadOnlyJournal.open(path, REASON)
    with pytest.raises(JournalUnavailable, match="in use by another server"):
        await SQLiteJournal.open(path)
    await journal.close()
    again = await SQLiteJournal.open(path)
    await again.close()


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        (f"PRAGMA user_version = {VERSION - 1}", f"cannot be brought to version {VERSION}"),
        (f"PRAGMA user_version = {VERSION + 1}", "was written by a newer program"),
        ("PRAGMA application_id = 1", "is a database, but not a journal"),
    ],
)
async def test_another_version_is_refused(path: Path, statement: str, text: str) -> None:
    """A file that this program cannot read as it is, is refused with the reason, and let go of."""
    await (await SQLiteJournal.open(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match=text):
            await ReadOnlyJournal.open(path, REASON)


async def test_a_wrong_key_is_refused(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As where the file can be written; one that is missing is logged, and what needs none is read."""
    first, other = (base64.b64encode(byte * 32).decode() for byte in (b"1", b"2"))
    journal = await SQLiteJournal.open(path, keys=Keys({"first": first}))
    await journal.commit(finished("a"))
    await journal.close()
    with pytest.raises(JournalUnavailable, match="'first' is not the one of that name"):
        await ReadOnlyJournal.open(path, REASON, keys=Keys({"first": other}))
    read_only = await ReadOnlyJournal.open(path, REASON, keys=Keys({"other": other}))
    assert "keys that are not given: first" in caplog.text
    with pytest.raises(JournalUndecipherable, match="'first'"):
        await read_only.task("a")
    await read_only.close()


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database cannot be read either."""
    garble(tmp_path / "journal.db")
    with pytest.raises(JournalDamaged):
        await ReadOnlyJournal.open(tmp_path / "journal.db", REASON)


async def test_a_file_that_can_be_written_is_written(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Only where writing is what fails the file is opened to be read; all else is as it is with `SQLiteJournal`."""
    journal = await open_journal(path)
    await journal.commit(accepted("a"))
    with pytest.raises(JournalUnavailable, match="in use by another server"):
        await open_journal(path)
    await journal.close()
    garble(path)
    with pytest.raises(JournalDamaged):
        await open_journal(path)
    assert not caplog.records


def sqlite_error(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), True),
        (OSError(28, "No space left on device"), True),
        (OSError(30, "Read-only file system"), True),
        (BlockingIOError(11, "Resource temporarily unavailable"), False),
        (IsADirectoryError(21, "Is a directory"), False),
        (sqlite_error(sqlite3.SQLITE_READONLY_DIRECTORY), True),
        (sqlite_error(sqlite3.SQLITE_FULL), True),
        (sqlite_error(sqlite3.SQLITE_CANTOPEN_ISDIR), True),
        (sqlite_error(sqlite3.SQLITE_BUSY), False),
        (sqlite_error(sqlite3.SQLITE_CORRUPT), False),
        (ValueError(), False),
        (None, False),
    ],
)
def test_which_errors_leave_a_file_to_be_read(error: Exception | None, *, expected: bool) -> None:
    """Missing rights and missing space do; a lock, and what is no file, do not."""
    assert cannot_write(error) is expected
