"""Records that are not what was written: they are left out or refused, and what lies beside them is served."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import accepted, batch, finished, make_third_version, new_task

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.errors import JournalDamaged
from flowgram_core.journal.interface import Finish, Journal, Write
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling.compiler import digest

COUNT = 120


def marked(number: int) -> Write:
    """A finished task; each of its texts is found once in the file."""
    task = new_task(
        f"task-{number}",
        inputs=f'{{"inputs":{number:05}}}',
        schema=f'{{"schema":{number:05}}}',
        labels={"parity": str(number % 2)},
    )
    return Write(
        f"task-{number}",
        accept=task,
        batches=(batch(1, 3),),
        started=1_500,
        finish=Finish(3 + number % 2, 9_000 + number, b"result %05d" % number),
    )


@pytest.fixture
async def filled(path: Path) -> Path:
    """A closed journal."""
    journal = await SQLiteJournal.open(path)
    for number in range(COUNT):
        await journal.commit(marked(number))
    await journal.close()
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def flip(path: Path, text: bytes) -> None:
    """Changes one bit of a text in the file."""
    content = path.read_bytes()
    assert content.count(text) == 1
    path.write_bytes(content.replace(text, text[:-1] + bytes([text[-1] ^ 1])))


def spoil(path: Path, text: bytes) -> bytes:
    """Makes noise of the block of the file that has a text; gives back what the file is then."""
    content = bytearray(path.read_bytes())
    start = content.index(text) // 4_096 * 4_096
    content[start : start + 4_096] = random.Random(1).randbytes(4_096)  # noqa: S311 - the same in every run
    path.write_bytes(content)
    return bytes(content)


async def page(
    journal: Journal,
    *,
    limit: int = 1_000,
    before: int | None = None,
    statuses: tuple[int, ...] = (),
    **labels: str,
) -> list[int]:
    """The numbers of the tasks of a page."""
    records = await journal.tasks(limit=limit, before=before, statuses=frozenset(statuses), labels=labels)
    return [int(record.task_id.partition("-")[2]) for record in records]


@pytest.mark.parametrize(
    "damage",
    [
        "labels = 'no JSON'",
        "labels = '[]'",
        "labels = '{\"parity\": 0}'",
        "labels = CAST(x'ff' AS TEXT)",
        "create_time = 'yesterday'",
        "schema_hash = 7",
    ],
)
async def test_pages_leave_out_what_cannot_be_read(
    filled: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A page has the tasks beside a damaged one, as many as were asked for; the program's log names the one."""
    change(filled, f"UPDATE tasks SET {damage} WHERE task_id = 'task-110'")  # noqa: S608 - they are ours
    journal = await SQLiteJournal.open(filled)
    good = [number for number in reversed(range(COUNT)) if number != 110]
    assert await page(journal) == good
    assert await page(journal, limit=20) == good[:20]
    assert await page(journal, before=101) == good[good.index(99) :]
    even = [number for number in good if number % 2 == 0]
    assert await page(journal, statuses=(3,)) == even
    assert await page(journal, parity="0") == even
    assert await page(journal, limit=10, statuses=(3, 4), parity="0") == even[:10]
    assert "task number 111 cannot be read" in caplog.text
    await journal.close()


async def test_pages_leave_out_a_part_of_the_file(filled: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Where a block of the file is noise, a page has all tasks that are not in it."""
    content = spoil(filled, b'{"inputs":00050}')
    gone = {number for number in range(COUNT) if b'{"inputs":%05d}' % number not in content}
    journal = await SQLiteJournal.open(filled)
    good = [number for number in reversed(range(COUNT)) if number not in gone]
    assert 0 < len(good) < COUNT
    assert await page(journal) == good
    assert await page(journal, limit=30, parity="1") == [number for number in good if number % 2][:30]
    assert caplog.text.count("cannot be read") >= len(gone)
    for number in good:
        assert await journal.task(f"task-{number}") is not None
    await journal.close()


@pytest.mark.parametrize("text", [b'{"inputs":00050}', b"result 00050"])
async def test_a_changed_bit_of_a_record_is_found(filled: Path, text: bytes) -> None:
    """Inputs and a result that are not what was written are refused, and never given; all other tasks are read."""
    flip(filled, text)
    journal = await SQLiteJournal.open(filled)
    with pytest.raises(JournalDamaged, match=r"of task 'task-50' (is|are) not what was written"):
        await journal.task("task-50")
    assert len(await page(journal)) == COUNT
    for number in (49, 51):
        record = await journal.task(f"task-{number}")
        assert record is not None
        assert record.result == b"result %05d" % number
    await journal.close()


async def test_a_changed_bit_of_a_schema_is_found(filled: Path) -> None:
    """A schema that does not have the hash under which it is stored is refused; others are read."""
    flip(filled, b'{"schema":00050}')
    journal = await SQLiteJournal.open(filled)
    with pytest.raises(JournalDamaged, match=r"the schema .* is not what was written"):
        await journal.schema(hash_of_schema('{"schema":00050}'))
    assert await journal.schema(hash_of_schema('{"schema":00051}')) == '{"schema":00051}'
    await journal.close()


def test_schemas_are_stored_under_the_digest_of_their_documents() -> None:
    """What the journal checks is what the compiler computes."""
    for text in ('{"nodes":[]}', "ü", "\ud800"):
        assert hash_of_schema(text) == digest(text)


async def test_a_result_that_came_later_is_checked(path: Path) -> None:
    """A task that ends in another write than the one that accepted it has a checksum as well."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(accepted("a"))
    await journal.commit(Write("a", batches=(batch(1),), started=1, finish=Finish(3, 2, b"the result")))
    await journal.close()
    change(path, "UPDATE tasks SET result = x'00'")
    journal = await SQLiteJournal.open(path)
    with pytest.raises(JournalDamaged):
        await journal.task("a")
    await journal.close()


async def test_records_of_an_older_version_are_read(filled: Path) -> None:
    """A file without checksums of records gets them for new tasks; its old ones are read as they are."""
    make_third_version(filled)
    with closing(sqlite3.connect(filled)) as connection:
        for column in ("inputs_checksum", "result_checksum"):
            connection.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
        connection.execute("PRAGMA user_version = 2")
    journal = await SQLiteJournal.open(filled)
    assert len(await page(journal)) == COUNT
    record = await journal.task("task-50")
    assert record is not None
    assert (record.inputs, record.result) == ('{"inputs":00050}', b"result 00050")
    await journal.commit(finished("new"))
    await journal.close()
    change(filled, "UPDATE tasks SET inputs = '[]' WHERE task_id = 'new'")
    journal = await SQLiteJournal.open(filled)
    with pytest.raises(JournalDamaged):
        await journal.task("new")
    await journal.close()


async def test_unfinished_tasks_after_many_damaged_ones_are_found(path: Path) -> None:
    """A page of damaged tasks does not look like the end of all unfinished ones."""
    journal = await SQLiteJournal.open(path)
    for number in range(9):
        await journal.commit(accepted(f"task-{number}"))
    await journal.close()
    change(path, "UPDATE tasks SET labels = 'no JSON' WHERE number BETWEEN 2 AND 7")
    journal = await SQLiteJournal.open(path)
    assert [record.order for record in await journal.unfinished(limit=2)] == [1, 8]
    assert [record.order for record in await journal.unfinished(after=1, limit=2)] == [8, 9]
    assert [record.order for record in await journal.unfinished()] == [1, 8, 9]
    await journal.close()
