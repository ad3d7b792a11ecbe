"""A journal whose write-ahead log is not whole: either all that was shown is there, or the program's log says that it is not."""

import asyncio
import logging
import sqlite3
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.journals import batch, finished

from flowgram_core.journal.interface import TaskRecord, Write
from flowgram_core.journal.sqlite import SQLiteJournal

HEADER, FRAME_HEAD, PAGE = 32, 24, 4096
FRAME = FRAME_HEAD + PAGE


class Files(NamedTuple):
    """A journal's files at one instant, as the death of a process leaves them."""

    main: bytes
    log: bytes
    index: bytes

    def __repr__(self) -> str:
        return f"<files of {len(self.main)}, {len(self.log)} and {len(self.index)} bytes>"

    def put(self, path: Path) -> None:
        for file, content in zip(files_of(path), self, strict=True):
            file.write_bytes(content)


def files_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def snapshot(path: Path) -> Files:
    return Files(*(file.read_bytes() for file in files_of(path)))


def task(number: int) -> Write:
    return finished(f"task-{number}", inputs=f'{{"number":{number}}}')


Action = Callable[[sqlite3.Connection], object]


def lives(*steps: int | Action) -> list[Files]:
    """The files after each step: so many tasks more, or something done with the connection that writes."""

    async def live(path: Path) -> list[Files]:
        journal = await SQLiteJournal.open(path)
        seen, done = [], 0
        for step in steps:
            if callable(step):
                step(journal._connection)
            else:
                for number in range(done, done + step):
                    await journal.commit(task(number))
                done += step
            seen.append(snapshot(path))
        await journal.close()
        return seen

    with TemporaryDirectory() as directory:
        return asyncio.run(live(Path(directory) / "journal.db"))


class Errors(logging.Handler):
    """What the journal reported."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@contextmanager
def reported() -> Iterator[list[str]]:
    errors, logger = Errors(), logging.getLogger("flowgram_core.journal")
    logger.addHandler(errors)
    try:
        yield errors.texts
    finally:
        logger.removeHandler(errors)


class Opened(NamedTuple):
    """What there is after the files were opened, and what was reported meanwhile."""

    tasks: set[str]
    errors: list[str]


async def read_all(path: Path) -> set[str]:
    """The ids of all tasks, each of which is as it was written; and one more task can be written and read."""
    journal = await SQLiteJournal.open(path)
    records: list[TaskRecord] = await journal.tasks(limit=1_000, before=None, statuses=frozenset(), labels={})
    for record in records:
        write = task(int(record.task_id.partition("-")[2]))
        whole = await journal.task(record.task_id)
        assert whole is not None
        assert write.accept is not None
        assert whole.inputs == write.accept.inputs
        assert await journal.read(record.task_id, 0, 1 << 20) == [batch(1, 7)]
    await journal.commit(task(10_000))
    assert await journal.task("task-10000") is not None
    await journal.close()
    return {record.task_id for record in records}


def opened(files: Files, *, check: Callable[[Path], object] = lambda path: None) -> Opened:
    with TemporaryDirectory() as directory, reported() as errors:
        path = Path(directory) / "journal.db"
        files.put(path)
        tasks = asyncio.run(read_all(path))
        check(path)
        return Opened(tasks, errors)


def ids(count: int) -> set[str]:
    return {f"task-{number}" for number in range(count)}


def flipped(content: bytes, *bits: int) -> bytes:
    changed = bytearray(content)
    for bit in bits:
        changed[bit // 8 % len(content)] ^= 1 << bit % 8
    return bytes(changed)


@pytest.fixture(scope="module")
def killed() -> Files:
    """Twenty tasks, all of them in the log."""
    return lives(20)[0]


@settings(max_examples=60, deadline=None)
@given(bits=st.sets(st.integers(0, 1 << 22), min_size=1, max_size=3))
def test_a_changed_bit_is_reported(killed: Files, bits: set[int]) -> None:
    """Wherever it is in the log: all that was shown is there, or an error says that it is not. Nothing raises."""
    found = opened(killed._replace(log=flipped(killed.log, *bits)))
    assert found.tasks <= ids(20)
    assert found.tasks == ids(20) or "is damaged" in "".join(found.errors)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(0, 1 << 20))
def test_a_truncated_log_is_reported(killed: Files, length: int) -> None:
    """However much is left of it, also nothing."""
    found = opened(killed._replace(log=killed.log[: length % len(killed.log)]))
    assert "is damaged" in "".join(found.errors)
    assert found.tasks < ids(20)


@settings(max_examples=30, deadline=None)
@given(bit=st.integers(0, 1 << 22))
def test_without_an_index_what_lies_beyond_tells_of_the_damage(killed: Files, bit: int) -> None:
    """After the loss of power, which takes the index too, a changed bit before the last commit is noticed all the same."""
    log = flipped(killed.log[:-FRAME], bit) + killed.log[-FRAME:]
    found = opened(killed._replace(log=log, index=b""))
    assert "is damaged" in "".join(found.errors)
    assert found.tasks < ids(20)


def test_a_whole_log_is_no_error(killed: Files) -> None:
    """After a mere kill all is there, and nothing is reported; so it is without the index."""
    assert opened(killed) == (ids(20), [])
    assert opened(killed._replace(index=b"")) == (ids(20), [])


@pytest.mark.parametrize("indexed", [True, False])
def test_a_commit_that_was_cut_off_is_no_error(*, indexed: bool) -> None:
    """A kill in the middle of a commit leaves part of it at the end: all that was shown is there, nothing is reported."""
    before, after = lives(5, 1)
    new = range(len(before.log), len(after.log))
    for length in [*new[:: FRAME // 5], *(end + FRAME_HEAD for end in new[::FRAME]), len(after.log) - 1]:
        files = before._replace(log=after.log[:length], index=before.index if indexed else b"")
        assert opened(files) == (ids(5), []), length


def restart(connection: sqlite3.Connection) -> None:
    """The next commit goes to the beginning of the log."""
    connection.execute("PRAGMA wal_checkpoint(RESTART)")


@pytest.mark.parametrize("indexed", [True, False])
def test_what_is_left_of_an_older_round_is_no_error(*, indexed: bool) -> None:
    """A log that has begun anew has frames of its older round behind; the head of a new frame over one is no damage."""
    *_, before, after = lives(20, restart, 2, 1)
    assert len(before.log) == len(after.log)
    index = before.index if indexed else b""
    assert opened(before._replace(index=index)) == (ids(22), [])
    differing = [
        at for at in range(HEADER, len(after.log), FRAME) if before.log[at:][:FRAME] != after.log[at:][:FRAME]
    ]
    for at in differing:
        log = after.log[: at + FRAME_HEAD] + before.log[at + FRAME_HEAD :]
        assert opened(before._replace(log=log, index=index)) == (ids(22), []), at


def spill_and_undo(connection: sqlite3.Connection) -> None:
    """Leaves frames of a transaction that was undone."""
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE large (content)")
    connection.executemany("INSERT INTO large VALUES (?)", [(bytes(9_000),)] * 20)
    connection.execute("ROLLBACK")


def test_frames_of_an_undone_transaction_are_no_error() -> None:
    """They stay behind the frames of what was committed then, and were shown to nobody."""
    *_, undone, files = lives(3, spill_and_undo, 1)
    assert len(files.log) == len(undone.log)
    assert opened(files) == (ids(4), [])
    assert opened(files._replace(index=b"")) == (ids(4), [])


def test_a_log_that_was_carried_over_does_not_hide_newer_pages() -> None:
    """Where all of it is in the file already nothing is lost, although the log can be read only up to the damage."""
    *_, files = lives(20, lambda connection: connection.execute("PRAGMA wal_checkpoint(PASSIVE)"))
    for at in range(HEADER + 100, len(files.log), 3 * FRAME):
        found = opened(files._replace(log=flipped(files.log, 8 * at)))
        assert found.tasks == ids(20)
        (error,) = found.errors
        assert ": 0 frames with at least 0 commits are lost" in error


def test_the_report_says_what_is_lost_and_where_the_log_is_kept() -> None:
    """It names the file and counts what is lost; the log is kept as it was, private, once however often it is opened."""
    before, _, after = lives(5, 1, 1)
    log = flipped(after.log, 8 * (len(before.log) + 100))
    readable, received = ((len(files.log) - HEADER) // FRAME for files in (before, after))

    def check(path: Path) -> None:
        (kept,) = path.parent.glob("*.damaged-*")
        assert kept.read_bytes() == log
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        after._replace(log=log).put(path)
        asyncio.run(read_all(path))
        assert [*path.parent.glob("*.damaged-*")] == [kept]

    found = opened(after._replace(log=log), check=check)
    assert found.tasks == ids(5)
    counts = f"{received - readable} frames with at least 2 commits are lost, {readable} frames are read"
    assert f"journal.db-wal is damaged: {counts}; it is kept as /" in found.errors[0]


def test_a_log_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    """Without a place for the copy that is reported too, and the journal is opened all the same."""
    before, after = lives(5, 1)
    log = flipped(after.log, 8 * (len(before.log) + 100))
    path = tmp_path / "journal.db"
    after._replace(log=log).put(path)
    (tmp_path / f"journal.db-wal.damaged-{zlib.crc32(log):08x}").mkdir()
    with reported() as errors:
        assert asyncio.run(read_all(path)) == ids(5)
    assert "it could not be kept: Is a directory" in errors[0]
