"""Namespaces in every journal: who finds what, whose request ids are whose, and how much each has."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.journals import accepted, batch, finished, ids_of, make_fifth_version

from flowgram_core.journal import queries
from flowgram_core.journal.connection import open_reader
from flowgram_core.journal.errors import DuplicateRequest
from flowgram_core.journal.interface import Finish, Journal, Write
from flowgram_core.journal.namespaces import check_namespace
from flowgram_core.journal.read_only import ReadOnlyJournal
from flowgram_core.journal.sqlite import SQLiteJournal


async def listed(journal: Journal, namespace: str, **changes: object) -> list[str]:
    """The ids of a page of a namespace."""
    wanted: dict[str, object] = {"limit": 100, "before": None, "statuses": frozenset(), "labels": {}}
    found = await journal.tasks(**(wanted | changes), namespace=namespace)  # type: ignore[arg-type]  # as given
    assert all(record.namespace == namespace for record in found)
    return [record.task_id for record in found]


async def test_a_task_is_found_in_its_namespace_only(journal: Journal) -> None:
    """By its id, and with what it is; without a namespace in whichever."""
    await journal.commit(finished("a", namespace="acme", inputs='{"a":1}'))
    record = await journal.task("a", "acme")
    assert record is not None
    assert (record.namespace, record.inputs, record.result) == ("acme", '{"a":1}', b"result")
    assert await journal.task("a") == record
    assert await journal.task("a", "default") is None
    assert await journal.task("a", "other") is None


async def test_request_ids_belong_to_a_namespace(journal: Journal) -> None:
    """The same id in two namespaces is two tasks; twice in one it is a repetition, also within one transaction."""
    await journal.commit(accepted("a", request_id="r", namespace="acme"))
    twice = [accepted("b", request_id="r"), accepted("c", request_id="r")]
    outcomes = await asyncio.gather(*map(journal.commit, twice), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), DuplicateRequest]
    with pytest.raises(DuplicateRequest):
        await journal.commit(accepted("d", request_id="r", namespace="acme"))
    found = [await journal.find_request("r", namespace) for namespace in ("acme", "default", "other")]
    assert [record and record.task_id for record in found] == ["a", "b", None]


async def test_lists_have_the_tasks_of_their_namespace(journal: Journal) -> None:
    """Newest first, page by page, with and without filters, whatever lies between them."""
    for number in range(20):
        namespace = ("default", "acme", "zoo")[number % 3]
        make = finished if number % 2 else accepted
        await journal.commit(make(f"t{number}", namespace=namespace, labels={"half": str(number // 10)}))
    assert await listed(journal, "acme") == [f"t{number}" for number in (19, 16, 13, 10, 7, 4, 1)]
    assert await listed(journal, "acme", statuses=frozenset({1})) == ["t16", "t10", "t4"]
    assert await listed(journal, "acme", labels={"half": "1"}, statuses=frozenset({3})) == ["t19", "t13"]
    assert await listed(journal, "nobody") == []
    record = await journal.task("t13")
    assert record is not None
    assert await listed(journal, "acme", before=record.order, limit=2) == ["t10", "t7"]


async def test_unfinished_tasks_of_all_namespaces_are_found(journal: Journal) -> None:
    """In the order of acceptance, page by page, each with its namespace: a server continues all of them."""
    for number in range(9):
        await journal.commit(accepted(f"t{number}", namespace="ab"[number % 2]))
    found, after = [], 0
    while page := await journal.unfinished(after=after, limit=4):
        found += [(record.task_id, record.namespace) for record in page]
        after = page[-1].order
    assert found == [(f"t{number}", "ab"[number % 2]) for number in range(9)]


async def test_removed_tasks_say_whose_they_were(journal: Journal) -> None:
    """Watchers of one namespace do not get to know the ids of another."""
    await journal.commit(finished("a", namespace="acme", end_time=1))
    await journal.commit(finished("b", end_time=2))
    removed = await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)
    assert ids_of(removed) == ["a", "b"]
    assert [task.namespace for task in removed] == ["acme", "default"]


async def test_what_each_namespace_has_is_counted(journal: Journal) -> None:
    """Inputs, events and results, while tasks grow, and no more once they are removed."""

    async def used() -> dict[str, int]:
        return {name: size for name, size in (await journal.usage()).by_namespace.items() if size}

    assert await used() == {}
    await journal.commit(accepted("a", batch(1, events=b"12345"), inputs="{}", namespace="acme"))
    await journal.commit(finished("b", inputs="[]"))
    assert await used() == {"acme": 7, "default": 2 + len(b"events") + len(b"result")}
    await journal.commit(
        Write("a", batches=(batch(2, events=b"678"),), started=1, finish=Finish(4, 2, b"bad"))
    )
    assert (await used())["acme"] == 13
    with pytest.raises(DuplicateRequest):
        await asyncio.gather(
            *(journal.commit(accepted(f"c{n}", request_id="r", inputs="[1]", namespace="zoo")) for n in "12")
        )
    assert (await used())["zoo"] == 3
    await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)
    assert await used() == {"zoo": 3}


async def test_the_signing_key_is_as_old_as_the_journal(path: Path) -> None:
    """Every server on a file has the same, also one that can only read it; two files have different ones."""
    keys = []
    for file in (path, path, path.with_name("other.db")):
        journal = await SQLiteJournal.open(file)
        keys.append(await journal.signing_key())
        await journal.close()
    reader = await ReadOnlyJournal.open(path, OSError("on purpose"))
    keys.append(await reader.signing_key())
    await reader.close()
    assert [len(key) for key in keys] == [32] * 4
    assert keys[0] == keys[1] == keys[3] != keys[2]


async def test_what_is_counted_survives_a_restart(path: Path) -> None:
    """So do namespaces, and new ones come beside them."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(accepted("a", inputs="[1]", namespace="acme"))
    await journal.close()
    journal = await SQLiteJournal.open(path)
    await journal.commit(Write("a", batches=(batch(1, events=b"12"),)))
    await journal.commit(accepted("b", inputs="[22]", namespace="zoo"))
    assert (await journal.usage()).by_namespace == {"default": 0, "acme": 5, "zoo": 4}
    await journal.close()


async def test_tasks_that_are_older_than_namespaces_belong_to_the_default_one(path: Path) -> None:
    """With their request ids, and with what they take; lists, removal and new tasks work as before."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("a", inputs="[1]", end_time=1))
    await journal.commit(accepted("b", batch(1, events=b"12"), request_id="r"))
    before = (await journal.usage()).by_namespace
    await journal.close()
    make_fifth_version(path)
    journal = await SQLiteJournal.open(path)
    assert await listed(journal, "default") == ["b", "a"]
    assert (await journal.usage()).by_namespace == before
    with pytest.raises(DuplicateRequest):
        await journal.commit(accepted("c", request_id="r"))
    await journal.commit(accepted("c", request_id="r", namespace="acme"))
    assert await listed(journal, "acme") == ["c"]
    assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=0, limit=9)) == ["a"]
    assert (await journal.usage()).by_namespace == {"default": 4, "acme": 2}
    await journal.close()


async def test_of_the_tasks_of_others_nothing_is_read(path: Path) -> None:
    """To find that a task is another's takes index look-ups only: the time does not say that there is one, nor how large."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("a", namespace="acme", inputs="[" + "1," * 10_000 + "1]"))
    await journal.commit(accepted("b"))
    await journal.close()
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:  # whatever reads the table itself fails from here on
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    with closing(open_reader(path)) as connection:
        assert queries.task(connection, "a", "default") is None
        assert queries.task(connection, "missing", "default") is None
        assert queries.find_request(connection, "r", "default") is None
        with pytest.raises(sqlite3.DatabaseError):
            queries.task(connection, "a", "acme")


@pytest.mark.parametrize("name", ["a", "default", "team-a.prod_2", "9", "-", "x" * 64])
def test_names_of_namespaces(name: str) -> None:
    """Letters, digits, dots, dashes and underscores."""
    assert check_namespace(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "a\n", "x" * 65, "a'b", 'a"', "a\0"])
def test_what_is_no_name_of_a_namespace(name: str) -> None:
    """Nothing that a query, a path or a metric would have to escape."""
    with pytest.raises(ValueError, match="must be 1 to 64 letters"):
        check_namespace(name)
