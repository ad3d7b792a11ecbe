"""Backups: of a journal that is written meanwhile, checked, and put back."""

import asyncio
import stat
from pathlib import Path

import pytest
from support.journals import accepted, batch, finished

from flowgram_core.journal.backup import back_up, check, restore
from flowgram_core.journal.errors import JournalDamaged, JournalFileExists, JournalUnavailable
from flowgram_core.journal.interface import Write
from flowgram_core.journal.sqlite import SQLiteJournal


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def exists(path: Path) -> bool:
    return path.exists()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


def damage(path: Path) -> bytes:
    """Overwrites parts of many pages; returns the content."""
    content = bytearray(path.read_bytes())
    for start in range(40_000, 120_000, 4096):
        content[start : start + 200] = bytes(200)
    path.write_bytes(content)
    return bytes(content)


async def ids_in(path: Path) -> list[str]:
    journal = await SQLiteJournal.open(path)
    try:
        page = await journal.tasks(limit=99, before=None, statuses=frozenset(), labels={})
        return [record.task_id for record in page]
    finally:
        await journal.close()


async def test_a_backup_is_one_moment_of_a_journal_in_use(path: Path, copy: Path, tmp_path: Path) -> None:
    """What is committed before is in it; what is committed while it is made is in it as a whole or not at all."""
    journal = await SQLiteJournal.open(path)
    for number in range(30):
        await journal.commit(accepted(f"before-{number}", batch(1, events=b"x" * 50_000)))
    copying = asyncio.create_task(asyncio.to_thread(back_up, path, copy))
    written = 0
    while not copying.done():
        task_id = f"meanwhile-{written}"
        await journal.commit(accepted(task_id, batch(1)))
        await journal.commit(Write(task_id, batches=(batch(2, events=b"y" * 50_000),)))
        written += 1
    await copying
    await journal.commit(finished("after"))
    await journal.close()
    assert mode_of(copy) == 0o600
    assert names_in(tmp_path) == {"data", "copy"}
    assert (
        content_of(copy)[18:20] == b"\x01\x01"
    )  # read without a write-ahead log, which would be a second file

    restored = tmp_path / "other" / "journal.db"
    restore(copy, restored)
    found = await ids_in(restored)
    assert {f"before-{number}" for number in range(30)} <= set(found)
    assert "after" not in found
    journal = await SQLiteJournal.open(restored)
    meanwhile = [name for name in found if name.startswith("meanwhile")]
    assert meanwhile == [f"meanwhile-{number}" for number in reversed(range(len(meanwhile)))]
    for name in meanwhile[1:]:
        assert len(await journal.read(name, 0, 1 << 20)) == 2
    await journal.close()


async def test_a_backup_overwrites_nothing(path: Path, copy: Path) -> None:
    """Unless it is asked to; then the new one is there as a whole."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("one"))
    put(copy, b"precious")
    with pytest.raises(JournalFileExists, match="is there already"):
        back_up(path, copy)
    assert content_of(copy) == b"precious"
    back_up(path, copy, overwrite=True)
    await journal.close()
    check(copy)


async def test_a_journal_in_use_is_never_overwritten(path: Path, copy: Path) -> None:
    """Nor one that is there, unless that is asked for; what it had beside it goes with it."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("old"))
    back_up(path, copy)
    await journal.commit(finished("newer"))
    for overwrite, error in ((False, JournalFileExists), (True, JournalUnavailable)):
        with pytest.raises(error):
            restore(copy, path, overwrite=overwrite)
    await journal.close()
    with pytest.raises(JournalFileExists):
        restore(copy, path)
    assert await ids_in(path) == ["newer", "old"]
    put(path.with_name(path.name + "-wal"), b"of another content")
    restore(copy, path, overwrite=True)
    assert not exists(path.with_name(path.name + "-wal"))
    assert mode_of(path) == 0o600
    assert await ids_in(path) == ["old"]
    assert exists(copy)


async def test_what_is_no_whole_journal_is_not_restored(path: Path, copy: Path) -> None:
    """A damaged, a foreign and an empty file are refused, and nothing is left where it would have gone."""
    journal = await SQLiteJournal.open(path)
    for number in range(50):
        await journal.commit(accepted(f"task-{number}", batch(1, events=b"x" * 5_000)))
    back_up(path, copy)
    await journal.close()
    content = damage(copy)
    target = path.with_name("target.db")
    for bad, error in ((content, JournalUnavailable), (b"no database" * 500, JournalUnavailable), (b"", JournalUnavailable)):  # fmt: skip
        put(copy, bad)
        with pytest.raises(error, match=r"damaged|not a database|cannot be used|is empty|but not"):
            restore(copy, target)
        assert not exists(target)


async def test_a_damaged_journal_gives_no_backup(path: Path, copy: Path) -> None:
    """The damage is found, and no file remains."""
    journal = await SQLiteJournal.open(path)
    for number in range(50):
        await journal.commit(accepted(f"task-{number}", batch(1, events=b"x" * 5_000)))
    await journal.close()
    damage(path)
    with pytest.raises(JournalDamaged):
        back_up(path, copy)
    assert names_in(copy.parent) == {"data"}
