"""Encryption at rest: nothing readable in the file, keys that change, and keys that are wrong or missing."""

import base64
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.journals import SCHEMA, accepted, batch, finished, new_task

from flowgram_core.journal.checksums import hash_of_schema
from flowgram_core.journal.encryption import (
    KeyInvalid,
    KeyMissing,
    Keys,
    NotDecrypted,
    Sealer,
    is_sealed,
    unseal,
)
from flowgram_core.journal.errors import JournalDamaged, JournalUnavailable, JournalUndecipherable
from flowgram_core.journal.interface import Finish, Write
from flowgram_core.journal.sqlite import SQLiteJournal

FIRST = {"first": base64.b64encode(b"1" * 32).decode()}
SECOND = {"second": base64.b64encode(b"2" * 32).decode()}
OTHER_FIRST = {"first": SECOND["second"]}

CANARY = "canary-0123456789"
CONTENTS = {"schema": f'{{"s":"{CANARY}"}}', "inputs": f'{{"i":"{CANARY} ü"}}'}
CAUSE = f'["outcome","{CANARY}"]'
EVENTS = f"\nevents {CANARY}".encode()
RESULT = f"\nresult {CANARY}".encode()


def whole(task_id: str) -> Write:
    """A task that is accepted, runs and ends in one write."""
    batches = (batch(1, events=EVENTS, cause=CAUSE), batch(2, events=EVENTS))
    return Write(task_id, new_task(task_id, **CONTENTS), batches, 1_500, Finish(3, 9_000, RESULT))


async def check(journal: SQLiteJournal, task_id: str) -> None:
    """The journal has a task as it was written."""
    record = await journal.task(task_id)
    assert record is not None
    assert (record.inputs, record.result) == (CONTENTS["inputs"], RESULT)
    assert await journal.schema(record.schema_hash) == CONTENTS["schema"]
    first, second = await journal.read(task_id, 0, 10_000)
    assert (first.cause, first.events, second.cause, second.events) == (CAUSE, EVENTS, None, EVENTS)


async def write(path: Path, keys: dict[str, str], *writes: Write) -> None:
    journal = await SQLiteJournal.open(path, keys=Keys(keys))
    for each in writes:
        await journal.commit(each)
    await journal.close()


def stored(path: Path) -> bytes:
    """All bytes of the file and of those beside it."""
    return b"".join(found.read_bytes() for found in path.parent.iterdir())


async def test_no_content_is_readable_in_the_files(path: Path) -> None:
    """Neither while it is open nor after; each read gives it, also of a task that was written bit by bit."""
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST))
    await journal.commit(whole("whole"))
    await journal.commit(accepted("parts", **CONTENTS))
    await journal.commit(Write("parts", batches=(batch(1, events=EVENTS, cause=CAUSE),), started=1))
    await journal.commit(Write("parts", batches=(batch(2, events=EVENTS),), finish=Finish(3, 9, RESULT)))
    assert CANARY.encode() not in stored(path)
    for task_id in ("whole", "parts"):
        await check(journal, task_id)
    page = await journal.tasks(limit=9, before=None, statuses=frozenset(), labels={})
    assert [record.task_id for record in page] == ["parts", "whole"]
    usage = await journal.usage()
    await journal.close()
    assert CANARY.encode() not in stored(path)
    assert usage.by_namespace["default"] == bytes_of(path)


def bytes_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (tasks,) = connection.execute("SELECT sum(length(inputs) + length(result)) FROM tasks").fetchone()
        (events,) = connection.execute("SELECT sum(length(events)) FROM events").fetchone()
    return int(tasks + events)


async def test_a_file_that_was_begun_without_encryption_stays_readable(path: Path) -> None:
    """New rows are encrypted from then on; without keys again, new ones are not, and old ones need theirs."""
    await write(path, {}, whole("plain"))
    assert CANARY.encode() in stored(path)
    await write(path, FIRST, whole("sealed"))
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST))
    await check(journal, "plain")
    await check(journal, "sealed")
    await journal.close()
    await write(path, {}, whole("plain-again"))
    journal = await SQLiteJournal.open(path)
    await check(journal, "plain-again")
    with pytest.raises(JournalUndecipherable, match="'first'"):
        await journal.task("sealed")
    await journal.close()


async def test_keys_are_changed(path: Path) -> None:
    """The first one encrypts, all decrypt; the events of one task may be of several."""
    await write(path, FIRST, accepted("both", batch(1, events=EVENTS, cause=CAUSE), **CONTENTS))
    await write(path, SECOND | FIRST, Write("both", batches=(batch(2, events=EVENTS),), finish=Finish(3, 9, RESULT)))  # fmt: skip
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST | SECOND))
    await check(journal, "both")
    await journal.close()


async def test_a_missing_key_concerns_only_what_needs_it(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names it at the start; reading a task that needs it does, too; others are read and written."""
    await write(path, FIRST, whole("old"))
    journal = await SQLiteJournal.open(path, keys=Keys(SECOND))
    assert "keys that are not given: first" in caplog.text
    for reading in (journal.task("old"), journal.read("old", 0, 10_000)):
        with pytest.raises(JournalUndecipherable, match=r"'old' cannot be read: .*'first'") as caught:
            await reading
        assert CANARY not in str(caught.value)
    with pytest.raises(JournalUndecipherable, match="'first'"):
        await journal.schema(hash_of_schema(CONTENTS["schema"]))
    new = accepted("new", batch(1, events=EVENTS), schema=SCHEMA)
    await journal.commit(new)
    assert [found.events for found in await journal.read("new", 0, 10_000)] == [EVENTS]
    assert [record.task_id for record in await journal.unfinished()] == ["new"]
    assert len(await journal.remove_finished(ended_before=None, keep_newest=0, limit=9)) == 1
    await journal.close()


async def test_a_wrong_key_does_not_open_the_file(path: Path) -> None:
    """One of the same name would make it a mixture that nobody can read. The file can be opened as before."""
    await write(path, FIRST, whole("old"))
    for keys in (OTHER_FIRST, SECOND | OTHER_FIRST):
        with pytest.raises(JournalUnavailable, match="'first' is not the one of that name"):
            await SQLiteJournal.open(path, keys=Keys(keys))
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST))
    await check(journal, "old")
    await journal.close()


async def test_what_was_changed_or_moved_is_damage(path: Path) -> None:
    """A row has its own place: the events of another task are not taken for those of this one."""
    one, other = (
        accepted(name, batch(1, events=f"\n{name}".encode()), **CONTENTS) for name in ("one", "other")
    )
    await write(path, FIRST, one, other)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE events SET (checksum, events) = (SELECT checksum, events FROM events WHERE task = 1) WHERE task = 2"
        )
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST))
    assert len(await journal.read("one", 0, 100)) == 1
    with pytest.raises(JournalDamaged):
        await journal.read("other", 0, 100)
    await journal.close()


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_with_its_associated_data(data: bytes, associated_data: str) -> None:
    """And with no other data, with no other key, and not if a byte of it was changed."""
    keys = Keys(FIRST | SECOND)
    sealed = Sealer(keys).seal(data, associated_data)
    assert is_sealed(sealed)
    assert not is_sealed(data) or data.startswith(b"\x00")
    assert unseal(keys, sealed, associated_data) == data
    with pytest.raises(NotDecrypted):
        unseal(keys, sealed, f"{associated_data}/")
    with pytest.raises(KeyMissing):
        unseal(Keys(SECOND), sealed, associated_data)
    with pytest.raises(NotDecrypted):
        unseal(Keys(OTHER_FIRST), sealed, associated_data)
    for position in (0, 5, len(sealed) - 1):
        changed = bytearray(sealed)
        changed[position] ^= 1
        if position:
            with pytest.raises((NotDecrypted, KeyMissing)):
                unseal(keys, bytes(changed), associated_data)
    for length in range(4, len(sealed)):
        with pytest.raises((NotDecrypted, KeyMissing)):
            unseal(keys, sealed[:length], associated_data)


def test_no_nonce_is_used_twice() -> None:
    """Each value has a number of its own, each sealer a salt, and so a key."""
    keys = Keys(FIRST)
    heads = set()
    for _ in range(3):
        sealer = Sealer(keys)
        heads |= {sealer.seal(b"", "p")[: -16 or None] for _ in range(100)}
    assert len(heads) == 300


def test_a_derived_key_is_used_for_so_many_values() -> None:
    """After 2³² of them comes another salt, and so another key; what both have sealed opens."""
    keys = Keys(FIRST)
    sealer = Sealer(keys)
    sealer._count = (1 << 32) - 1
    last, following = sealer.seal(b"last", "p"), sealer.seal(b"following", "p")
    salts = [sealed[10:26] for sealed in (last, following)]  # behind the mark and the name
    assert salts[0] != salts[1]
    assert [unseal(keys, sealed, "p") for sealed in (last, following)] == [b"last", b"following"]


@pytest.mark.parametrize("key", ["", "short", base64.b64encode(b"1" * 31).decode(), "ü" * 44])
def test_what_is_no_key_is_refused(key: str) -> None:
    """With its name, and not shown."""
    with pytest.raises(KeyInvalid, match="'mine' is not the base64 of 32 bytes") as caught:
        Keys({"mine": key})
    assert not key or key not in str(caught.value)


async def test_what_a_namespace_has_is_counted_as_it_is_stored(path: Path) -> None:
    """So what is removed takes off what was added, and nothing is left of it."""
    journal = await SQLiteJournal.open(path, keys=Keys(FIRST))
    await journal.commit(finished("a", inputs="[1]", namespace="acme"))
    await journal.commit(accepted("b", batch(1), namespace="acme"))
    await journal.commit(Write("b", batches=(batch(2),), started=1, finish=Finish(4, 2, b"bad")))
    assert (await journal.usage()).by_namespace["acme"] > 0
    await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)
    assert (await journal.usage()).by_namespace["acme"] == 0
    await journal.close()
