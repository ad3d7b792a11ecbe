import asyncio
import os
import random
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import accepted, batch, finished, make_third_version

from flowgram_core.journal.connection import Synchronous
from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable
from flowgram_core.journal.interface import ServerSession, Write
from flowgram_core.journal.migrations import APPLICATION_ID, VERSION
from flowgram_core.journal.read_only import ReadOnlyJournal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.sqlite_errors import unavailable

FULL = Path("/proc")
"""A file system that never has space."""

PRIVATE = dict.fromkeys(("journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock"), 0o600)
"""The files of a running server, and their modes."""


def noise(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)  # noqa: S311 - the same bytes in every run


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def overwrite(path: Path, content: bytes | bytearray) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def modes(directory: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}


@pytest.fixture
async def filled(path: Path) -> Path:
    """A closed journal with some hundred pages."""
    journal = await SQLiteJournal.open(path)
    for index in range(50):
        await journal.commit(accepted(f"task-{index}", batch(1, events=noise(index, 5_000))))
    await journal.close()
    return path


async def refused(path: Path) -> str:
    with pytest.raises(JournalUnavailable) as caught:
        await SQLiteJournal.open(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_new_files_are_private(path: Path, sqlite: SQLiteJournal) -> None:
    """The directory has mode 0700, every file in it 0600."""
    await sqlite.commit(accepted("a"))
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes(path.parent) == PRIVATE


async def test_files_that_others_may_read_become_private(path: Path, sqlite: SQLiteJournal) -> None:
    """A restored backup, and what a killed server left beside it."""
    await sqlite.commit(accepted("a"))
    backup = path.parent.parent / "backup" / path.name
    backup.parent.mkdir()
    for suffix in ("", "-wal", "-shm"):
        copy = backup.with_name(backup.name + suffix)
        copy.write_bytes(path.with_name(path.name + suffix).read_bytes())
        copy.chmod(0o644)
    journal = await SQLiteJournal.open(backup)
    assert await journal.task("a") is not None
    await journal.commit(accepted("b"))
    assert modes(backup.parent) == PRIVATE
    await journal.close()


@pytest.mark.parametrize(("synchronous", "level"), [("normal", 1), ("full", 2)])
async def test_the_file_is_used_as_it_is_documented(path: Path, synchronous: Synchronous, level: int) -> None:
    """Commits are flushed as was asked for, removed contents are overwritten, and the write-ahead log is bounded."""
    journal = await SQLiteJournal.open(path, synchronous=synchronous)
    pragmas = ("synchronous", "secure_delete", "journal_size_limit", "busy_timeout")
    found = [journal._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    assert found == [level, 2, 64 << 20, 5_000]
    await journal.close()


async def test_a_second_server_is_refused(path: Path) -> None:
    """While one has the journal open another gets an error that names the file and the process; afterwards it may have it."""
    path.parent.mkdir(mode=0o700)
    path.with_name(path.name + ".lock").write_text("12345678901234\n")  # of a former process
    sqlite = await SQLiteJournal.open(path)
    await sqlite.commit(accepted("a"))
    assert f"in use by another server (process {os.getpid()})" in await refused(path)
    alias = path.parent.parent / "alias.db"
    alias.symlink_to(path)
    with pytest.raises(JournalUnavailable, match="in use by another server"):
        await SQLiteJournal.open(alias)
    await sqlite.close()
    again = await SQLiteJournal.open(path)
    assert await again.task("a") is not None
    await again.close()


async def test_a_second_server_is_refused_though_the_lock_file_was_removed(
    path: Path, sqlite: SQLiteJournal
) -> None:
    """The database itself is locked too, under whatever name; SQLite and its locks take no notice of that."""
    await sqlite.commit(accepted("a"))
    path.with_name(path.name + ".lock").unlink()
    hard_link = path.parent.parent / "other" / path.name
    hard_link.parent.mkdir()
    hard_link.hardlink_to(path)
    for count in range(2):  # what was refused has taken nothing from who has it
        assert "in use by another server" in await refused(path)
        assert "in use by another server" in await refused(hard_link)
        with pytest.raises(JournalUnavailable, match="in use by another server"):
            await ReadOnlyJournal.open(path, OSError("read-only"))
        await sqlite.commit(accepted(f"b-{count}"))
        with closing(sqlite3.connect(path)) as reader:
            assert reader.execute("SELECT count(*) FROM tasks").fetchone() == (2 + count,)
    await sqlite.close()
    again = await SQLiteJournal.open(path)
    assert len(await again.unfinished()) == 3
    await again.close()


async def test_another_process_is_refused_though_the_lock_file_was_removed(
    path: Path, sqlite: SQLiteJournal
) -> None:
    """It is refused until this one has closed, and has it then, whatever else this one opens."""
    await sqlite.commit(accepted("a"))
    path.with_name(path.name + ".lock").unlink()
    script = (
        "import asyncio, pathlib, sys\n"
        "from flowgram_core.journal.sqlite import SQLiteJournal\n"
        "async def main():\n"
        "    journal = await SQLiteJournal.open(pathlib.Path(sys.argv[1]))\n"
        "    await journal.close()\n"
        "asyncio.run(main())\n"
    )

    async def attempt() -> tuple[int | None, bytes]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, str(path), stderr=asyncio.subprocess.PIPE
        )
        _, errors = await process.communicate()
        return process.returncode, errors

    content_of(path)  # another descriptor of the file opens and closes
    status, errors = await attempt()
    assert status == 1
    assert b"in use by another server" in errors
    await sqlite.close()
    assert await attempt() == (0, b"")


async def test_the_lock_ends_with_a_failed_opening(path: Path) -> None:
    """A file that could not be opened is not left locked."""
    overwrite(path, b"no database at all" * 1_000)
    await refused(path)
    overwrite(path, b"")
    journal = await SQLiteJournal.open(path)
    await journal.close()


async def test_a_refused_opening_leaves_sqlites_locks(path: Path, sqlite: SQLiteJournal) -> None:
    """A descriptor of the file that is closed would release them for the whole process, and another program might reset the log."""
    await sqlite.commit(accepted("a"))
    path.with_name(path.name + ".lock").unlink()
    await refused(path)
    with pytest.raises(JournalUnavailable, match="in use by another server"):
        await ReadOnlyJournal.open(path, OSError("read-only"))
    # The range of shared locks: https://sqlite.org/src/file/src/os.h
    script = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", script, str(path), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert b"BlockingIOError" in errors


@pytest.mark.parametrize("kept", [100, 5_000, 0.5, 0.9])
async def test_a_truncated_file_is_damaged(filled: Path, kept: float) -> None:
    """A file that lost its end is refused when it is opened."""
    content = content_of(filled)
    overwrite(filled, content[: int(kept if kept > 1 else kept * len(content))])
    with pytest.raises(JournalDamaged, match="is damaged"):
        await SQLiteJournal.open(filled)


async def test_random_bytes_are_damaged(path: Path) -> None:
    """A file of something else is refused when it is opened, and not touched."""
    path.parent.mkdir()
    content = noise(1, 50_000)
    overwrite(path, content)
    with pytest.raises(JournalDamaged, match="is damaged"):
        await SQLiteJournal.open(path)
    assert content_of(path) == content


@pytest.mark.parametrize("seed", range(8))
async def test_what_can_be_read_of_a_damaged_file_is_served(filled: Path, seed: int) -> None:
    """With random bytes in some pages every read gives what was written, nothing, or `JournalDamaged`; never anything else."""
    content = bytearray(content_of(filled))
    rng = random.Random(seed)  # noqa: S311 - the same places in every run
    for _ in range(3):
        start = rng.randrange(4_096, len(content) - 2_000)
        content[start : start + 2_000] = rng.randbytes(2_000)
    overwrite(filled, content)
    whole = 0
    try:
        journal = await SQLiteJournal.open(filled)
    except JournalDamaged:
        return
    for index in range(50):
        try:
            log = await journal.read(f"task-{index}", 0, 1 << 20)
        except JournalDamaged:
            continue
        if log:
            assert log == [batch(1, events=noise(index, 5_000))]
            whole += 1
    assert whole
    await journal.close()


async def test_a_changed_event_is_found(filled: Path) -> None:
    """A single changed bit in a log is noticed by its checksum; other logs are read as before."""
    content = content_of(filled)
    wanted = noise(7, 5_000)[2_000:2_020]
    position = content.index(wanted)
    overwrite(filled, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    journal = await SQLiteJournal.open(filled)
    with pytest.raises(JournalDamaged, match="events 1 to 1 of task 'task-7'"):
        await journal.read("task-7", 0, 1 << 20)
    assert len(await journal.read("task-8", 0, 1 << 20)) == 1
    await journal.close()


async def test_an_unfinished_task_that_cannot_be_read_is_left_out(
    filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart goes on with the others, and the program's log says which one is missing."""
    connection = sqlite3.connect(filled)
    connection.execute("UPDATE tasks SET labels = 'no JSON' WHERE number = 3")
    connection.execute("UPDATE tasks SET labels = CAST(x'ff' AS TEXT) WHERE number = 5")
    connection.commit()
    connection.close()
    journal = await SQLiteJournal.open(filled)
    assert [record.order for record in await journal.unfinished(limit=5)] == [1, 2, 4, 6, 7]
    assert "task number 3 cannot be read" in caplog.text
    assert "task number 5 cannot be read" in caplog.text
    with pytest.raises(JournalDamaged):
        await journal.task("task-2")
    await journal.close()


async def test_a_newer_file_is_refused(filled: Path) -> None:
    """A file of a newer program is refused with both versions, and not touched."""
    connection = sqlite3.connect(filled)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    content = content_of(filled)
    text = await refused(filled)
    assert f"has version {VERSION + 1}, this program knows versions up to {VERSION}" in text
    assert content_of(filled) == content


async def test_another_programs_database_is_refused(path: Path) -> None:
    """A database that is no journal is refused, and not touched."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE cookies (name TEXT)")
    connection.commit()
    connection.close()
    content = content_of(path)
    assert "is a database, but not a journal" in await refused(path)
    assert content_of(path) == content


async def test_paths_that_cannot_be(tmp_path: Path) -> None:
    """A directory in place of the file, and a file in place of the directory, are clear errors."""
    (tmp_path / "directory").mkdir()
    assert "Is a directory" in await refused(tmp_path / "directory")
    (tmp_path / "file").touch()
    assert "cannot be used" in await refused(tmp_path / "file" / "journal.db")


@pytest.mark.skipif(not FULL.exists(), reason="there is no file system here that is always full")
@pytest.mark.parametrize(
    ("directory", "text"),
    [(FULL, "there is no space left"), (None, "the disk reports an input/output error")],
)
def test_an_error_of_a_full_disk_is_reported_as_such(
    tmp_path: Path, directory: Path | None, text: str
) -> None:
    """SQLite reports some writes that find no space as errors of the disk; operators read what is the matter."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    error.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"
    found = unavailable((directory or tmp_path) / "journal.db", error)
    assert type(found) is JournalUnavailable
    assert text in str(found)
    assert "(SQLITE_IOERR_SHMSIZE)" in str(found)


async def test_a_new_file_has_the_current_version(path: Path, sqlite: SQLiteJournal) -> None:
    """The file says what it is and of which version."""
    await sqlite.commit(finished("a"))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_a_file_of_the_third_version_keeps_its_sessions(filled: Path) -> None:
    """What was called lives are sessions now, in the order of their times."""
    make_third_version(filled)
    connection = sqlite3.connect(filled)
    connection.executemany("INSERT INTO lives VALUES (?, ?)", [(9_000, 9_500), (7_000, 8_000)])
    connection.commit()
    connection.close()
    journal = await SQLiteJournal.open(filled)
    assert len(await journal.unfinished()) == 50
    await journal.commit(Write("task-1", started=7_500))
    expected = [ServerSession(7_000, 8_000), ServerSession(9_000, 9_500)]
    assert await journal.begin_session(10_000) == expected
    await journal.close()
    connection = sqlite3.connect(filled)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'lives'").fetchone() == (0,)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    connection.close()


async def test_a_file_of_the_first_version_gets_sessions(filled: Path) -> None:
    """A file that had no table of sessions under any name keeps its tasks."""
    make_third_version(filled)
    connection = sqlite3.connect(filled)
    connection.execute("DROP TABLE lives")
    for column in ("inputs_checksum", "result_checksum"):
        connection.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    journal = await SQLiteJournal.open(filled)
    assert len(await journal.unfinished()) == 50
    await journal.commit(Write("task-1", started=1))
    assert await journal.begin_session(2) == []
    assert await journal.begin_session(3) == [ServerSession(2, 2)]
    await journal.close()
