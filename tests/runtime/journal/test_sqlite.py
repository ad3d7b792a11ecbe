import asyncio
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from support.journals import SCHEMA, accepted, batch, finished, ids_of, new_task

from flowgram_core.journal import queries
from flowgram_core.journal.errors import InvalidWrite, JournalUnavailable
from flowgram_core.journal.interface import Finish, NewTask, Write
from flowgram_core.journal.retention import End
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.write_groups import Writer

EVERYTHING = 1 << 30


def size_of(path: Path) -> int:
    return path.stat().st_size


class Held:
    """Keeps the writing thread busy until it is let go."""

    def __init__(self, journal: SQLiteJournal) -> None:
        self._let_go = threading.Event()
        self._task = journal._writing.submit(lambda _: self._let_go.wait())

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        self._let_go.set()
        await self._task


async def test_what_is_committed_is_there_after_a_restart(path: Path) -> None:
    """A journal that is opened again goes on where the last one ended."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("a"))
    await journal.commit(accepted("b", batch(1, 3), request_id="r"))
    await journal.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["journal.db", "journal.db.lock"]
    journal = await SQLiteJournal.open(path)
    assert [record.task_id for record in await journal.unfinished()] == ["b"]
    with pytest.raises(InvalidWrite):
        await journal.commit(Write("b", batches=(batch(3),)))
    await journal.commit(Write("b", batches=(batch(4),), started=1, finish=Finish(3, 2, b"")))
    await journal.commit(accepted("c"))
    records = await journal.tasks(limit=9, before=None, statuses=frozenset(), labels={})
    assert [(record.order, record.task_id, record.last_sequence) for record in records] == [
        (3, "c", 0),
        (2, "b", 4),
        (1, "a", 7),
    ]
    await journal.close()


_COMMIT_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from flowgram_core.journal.interface import Batch, NewTask, Write
from flowgram_core.journal.sqlite import SQLiteJournal

async def one(journal, name):
    await journal.commit(Write(name, accept=NewTask(name, 1, b"hash", "schema", "{}")))
    for sequence in range(1, 1_000_000):
        await journal.commit(Write(name, batches=(Batch(sequence, sequence, 1, None, b"x" * 300),)))
        print(name, sequence, flush=True)

async def main():
    journal = await SQLiteJournal.open(Path(sys.argv[1]))
    await asyncio.gather(*(one(journal, f"task-{index}") for index in range(20)))

asyncio.run(main())
"""


async def test_what_was_reported_survives_a_kill(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After SIGKILL in the middle of commits, every event that was reported as committed is in its log, without a gap.

    Nothing is taken for damaged.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _COMMIT_UNTIL_KILLED, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    received: dict[str, int] = {}
    for _ in range(3_000):
        name, sequence = (await process.stdout.readline()).split()
        received[name.decode()] = int(sequence)
    process.send_signal(signal.SIGKILL)
    for line in (await process.stdout.read()).splitlines(keepends=True):
        if line.endswith(b"\n"):
            name, sequence = line.split()
            received[name.decode()] = int(sequence)
    await process.wait()
    journal = await SQLiteJournal.open(path)
    assert len(await journal.unfinished()) == 20
    for task_id, sequence in received.items():
        log = await journal.read(task_id, 0, EVERYTHING)
        assert [each.first_sequence for each in log] == [*range(1, len(log) + 1)]
        assert len(log) >= sequence
    await journal.close()
    assert not caplog.records


async def test_writes_that_wait_share_a_transaction(sqlite: SQLiteJournal) -> None:
    """Whatever was asked for while the writer was busy becomes one transaction of few statements."""
    statements: list[str] = []
    async with Held(sqlite):
        commits = [sqlite.commit(finished(f"task-{index}")) for index in range(60)]
        await asyncio.sleep(0)
        sqlite._connection.set_trace_callback(statements.append)
    await asyncio.gather(*commits)
    assert [statement.split()[0] for statement in statements] == [
        "BEGIN",
        "INSERT",
        "INSERT",
        "INSERT",
        "UPDATE",
        "COMMIT",
    ]


async def test_writes_that_wait_for_a_batch_are_committed_by_close(sqlite: SQLiteJournal, path: Path) -> None:
    """After a large group a few writes wait for more; a close that comes first takes them along, once each."""
    async with Held(sqlite):
        crowd = [sqlite.commit(accepted(f"crowd-{index}")) for index in range(20)]
    await asyncio.gather(*crowd)
    waiting = [sqlite.commit(accepted(f"late-{index}")) for index in range(3)]
    await sqlite.close()
    assert await asyncio.gather(*waiting) == [None] * 3
    again = await SQLiteJournal.open(path)
    tasks = await again.unfinished()
    await again.close()
    assert [task.task_id for task in tasks[-3:]] == ["late-0", "late-1", "late-2"]
    assert len(tasks) == 23


async def test_commits_return_although_the_loop_never_rests(sqlite: SQLiteJournal) -> None:
    """Callbacks without end do not starve the journal's threads."""
    loop = asyncio.get_running_loop()
    spinning = True

    def spin() -> None:
        if spinning:
            sum(range(2_000))
            loop.call_soon(spin)

    spin()
    for index in range(20):
        await sqlite.commit(finished(f"task-{index}"))
        assert await sqlite.task(f"task-{index}") is not None
    spinning = False


async def test_a_full_disk_fails_its_writes_and_no_later_ones(sqlite: SQLiteJournal) -> None:
    """Without space a write is refused with a text for operators, leaves nothing, and can be made again with space."""
    await sqlite.commit(accepted("a"))
    (pages,) = sqlite._connection.execute("PRAGMA page_count").fetchone()
    sqlite._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    large = Write("a", batches=(batch(1, events=bytes(1_000_000)),))
    async with Held(sqlite):
        commits = [sqlite.commit(write) for write in (accepted("b"), large, accepted("c"))]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), JournalUnavailable, type(None)]
    assert "there is no space left for it" in str(outcomes[1])
    assert await sqlite.read("a", 0, EVERYTHING) == []
    sqlite._connection.execute("PRAGMA max_page_count = 1000000")
    await sqlite.commit(large)
    assert len(await sqlite.read("a", 0, EVERYTHING)) == 1


async def test_a_file_that_became_read_only(sqlite: SQLiteJournal) -> None:
    """Writes and removals are refused with a clear text, reads go on."""
    await sqlite.commit(finished("a"))
    sqlite._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalUnavailable, match="cannot be written to"):
        await sqlite.commit(accepted("b"))
    with pytest.raises(JournalUnavailable, match="cannot be written to"):
        await sqlite.remove_finished(ended_before=None, keep_newest=0, limit=1)
    assert await sqlite.task("a") is not None
    sqlite._connection.execute("PRAGMA query_only = OFF")
    await sqlite.commit(accepted("b"))


@contextmanager
def locked(journal: SQLiteJournal) -> Iterator[None]:
    """Another program is in the middle of a write."""
    journal._connection.execute("PRAGMA busy_timeout = 1")
    with closing(sqlite3.connect(journal._readers._path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def read_only(journal: SQLiteJournal) -> Iterator[None]:
    """The file became read-only."""
    journal._connection.execute("PRAGMA query_only = ON")
    yield
    journal._connection.execute("PRAGMA query_only = OFF")


@pytest.mark.parametrize(
    ("spoiled", "text"), [(locked, "another program holds it"), (read_only, "cannot be written to")]
)
async def test_a_failure_of_the_file_is_met_once_for_a_group(
    sqlite: SQLiteJournal, spoiled: Callable[[SQLiteJournal], AbstractContextManager[None]], text: str
) -> None:
    """Writes that share a group wait for a lock once, not one after the other; each learns of it, and can be made again."""
    attempts: list[str] = []
    writes = [accepted(f"task-{index}") for index in range(10)]
    with spoiled(sqlite):
        sqlite._connection.set_trace_callback(
            lambda statement: attempts.append(statement) if statement.startswith("BEGIN") else None
        )
        async with Held(sqlite):
            commits = [sqlite.commit(write) for write in writes]
        outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [JournalUnavailable] * 10
    assert all(text in str(outcome) for outcome in outcomes)
    assert len(attempts) == 1
    assert await sqlite.tasks(limit=99, before=None, statuses=frozenset(), labels={}) == []
    await asyncio.gather(*(sqlite.commit(write) for write in writes))
    assert len(await sqlite.tasks(limit=99, before=None, statuses=frozenset(), labels={})) == 10


@pytest.mark.parametrize(
    "write",
    [
        Write("x", accept=new_task("x", create_time=1 << 70)),
        Write("x", accept=new_task("x", inputs="\ud800")),
        Write("x", accept=new_task("x"), batches=(batch(1, cause="\ud800"),)),
    ],
    ids=["number", "text", "cause"],
)
async def test_a_value_that_cannot_be_stored_fails_its_write_only(
    sqlite: SQLiteJournal, write: Write
) -> None:
    """A number beyond 64 bits or text that is no Unicode is an invalid write, whatever shares its group."""
    async with Held(sqlite):
        commits = [sqlite.commit(each) for each in (accepted("a"), write, accepted("b"))]
        await asyncio.sleep(0)
    outcomes = await asyncio.gather(*commits, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), InvalidWrite, type(None)]
    assert await sqlite.task("x") is None


@pytest.mark.parametrize(
    "values",
    [
        {"labels": {("no", "text"): "x"}},
        pytest.param(
            {"inputs": None},
            marks=pytest.mark.skipif(
                not isinstance(NewTask.__init__, FunctionType), reason="a compiled record refuses it itself"
            ),
        ),
    ],
)
async def test_a_defect_in_the_writer_is_raised_to_its_waiters(
    sqlite: SQLiteJournal, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception fails the group, is logged, and the thread lives on."""
    broken = Write("a", accept=new_task("a", **values))
    with pytest.raises(JournalUnavailable, match="failed on a write"):
        await sqlite.commit(broken)
    assert "a group of writes failed" in caplog.text
    await sqlite.commit(accepted("a"))


async def test_a_defect_in_an_action_is_raised_to_its_waiter(
    sqlite: SQLiteJournal, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception between two groups is logged, fails what was asked, and the thread lives on."""

    def broken(_: Writer) -> None:
        raise OverflowError

    with pytest.raises(JournalUnavailable, match="failed on an action"):
        await sqlite._writing.submit(broken)
    assert "an action of the journal failed" in caplog.text
    await sqlite.commit(accepted("a"))


async def test_removal_makes_the_file_smaller(path: Path) -> None:
    """The pages of removed logs go back to the file system, also of logs that span many transactions."""
    journal = await SQLiteJournal.open(path)
    log = tuple(batch(sequence, events=bytes(2_000)) for sequence in range(1, 1_500))
    await journal.commit(Write("a", accept=new_task("a"), batches=log, finish=Finish(3, 1, b"")))
    await journal.commit(accepted("b", batch(1)))
    journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = size_of(path)
    assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)) == ["a"]
    await journal.close()
    assert size_of(path) < before / 20


async def test_a_removal_ends_where_pages_cannot_be_given_back(path: Path) -> None:
    """In a file that another program has made anew; they count as free, and are used for what comes next."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("a", inputs="x" * 100_000))
    await journal.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM")
    journal = await SQLiteJournal.open(path)
    before = size_of(path)
    async with asyncio.timeout(30):
        assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)) == ["a"]
    journal._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (await journal.usage()).used_bytes < before - 90_000
    await journal.commit(finished("b", inputs="x" * 90_000))
    await journal.close()
    assert size_of(path) <= before


async def test_a_removal_that_was_interrupted_goes_on(path: Path) -> None:
    """Logs of tasks that were removed just before a crash are removed with the next removal, and harm nobody before."""
    journal = await SQLiteJournal.open(path)
    await journal.commit(finished("a"))
    assert ids_of(
        await journal._writing.submit(lambda writer: writer.remove_finished(End(2**62, 0), 10))
    ) == ["a"]
    await journal.close()
    journal = await SQLiteJournal.open(path)
    await journal.commit(accepted("b"))
    assert await journal.read("b", 0, EVERYTHING) == []
    assert ids_of(await journal.remove_finished(ended_before=None, keep_newest=0, limit=10)) == []
    assert journal._connection.execute("SELECT count(*) FROM events").fetchone() == (0,)
    await journal.commit(Write("b", batches=(batch(1),)))
    await journal.close()


async def test_commits_go_on_between_the_steps_of_a_removal(sqlite: SQLiteJournal) -> None:
    """A removal of many tasks lets writes that came later pass."""
    for index in range(200):
        await sqlite.commit(finished(f"task-{index}"))
    removal = asyncio.create_task(sqlite.remove_finished(ended_before=None, keep_newest=0, limit=200))
    passed = 0
    while not removal.done():
        await sqlite.commit(accepted(f"later-{passed}"))
        passed += 1
    assert passed > 3
    assert len(await removal) == 200


async def test_pages_use_indices(sqlite: SQLiteJournal) -> None:
    """No page of tasks, and no look-up, scans the table or sorts more than a page."""
    statements: list[str] = []
    connection = sqlite3.connect(f"file:{sqlite._readers._path}?mode=ro", uri=True)
    connection.set_trace_callback(statements.append)
    queries.tasks(connection, "default", 10, 5, frozenset(), {})
    queries.tasks(connection, "default", 10, None, frozenset({3, 4}), {})
    queries.unfinished(connection, 0, 10)
    queries.task(connection, "a")
    queries.task(connection, "a", "default")
    queries.find_request(connection, "a", "default")
    queries.read(connection, "a", 0, 10)
    connection.set_trace_callback(None)
    for statement in statements:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
        scans = [step for step in plan if step.startswith("SCAN") and "subquery" not in step]
        assert [step for step in scans if not step.startswith("SCAN namespaces")] == [], statement
    connection.close()
    assert len(statements) == 7


async def test_the_writer_forgets_finished_tasks(sqlite: SQLiteJournal) -> None:
    """Only unfinished tasks take memory."""
    await asyncio.gather(*(sqlite.commit(finished(f"task-{index}")) for index in range(100)))
    await sqlite.commit(accepted("a"))
    writer: Writer = await sqlite._writing.submit(lambda writer: writer)
    assert [*writer._states] == ["a"]


async def test_the_writer_remembers_so_many_schemas(sqlite: SQLiteJournal) -> None:
    """Beyond that it begins anew, and a schema that it has forgotten is stored once all the same."""
    await sqlite.commit(accepted("a"))
    writer: Writer = await sqlite._writing.submit(lambda writer: writer)
    writer._schemas.update(number.to_bytes(4) for number in range(10_000))
    await sqlite.commit(accepted("b", schema="another"))
    assert len(writer._schemas) == 1
    await sqlite.commit(accepted("c"))
    assert await sqlite.schema(new_task("c").schema_hash) == SCHEMA


async def test_forgotten_crashes_do_not_count(sqlite: SQLiteJournal) -> None:
    """Those of one task; what was counted of others stays."""
    for task_id in ("a", "b"):
        await sqlite.commit(accepted(task_id))
    await sqlite.record_crashes(["a", "b"], 1)
    await sqlite.forget_crashes("a")
    assert await sqlite.record_crashes([], 2) == {"b": 1}


async def test_a_listener_gets_to_know_each_group(sqlite: SQLiteJournal) -> None:
    """How many writes were committed and the bytes of their texts, schemas included; rejected ones do not count."""
    groups: list[tuple[int, int]] = []
    sqlite.listen(lambda count, size, seconds: groups.append((count, size)))
    async with Held(sqlite):
        commits = [
            sqlite.commit(accepted("a", batch(1, events=b"123"), inputs="{}")),
            sqlite.commit(Write("unknown", batches=(batch(1),))),
            sqlite.commit(Write("a", batches=(batch(2, events=b"4567"),), finish=Finish(3, 9, b"89"))),
        ]
    await asyncio.gather(*commits, return_exceptions=True)
    with pytest.raises(InvalidWrite):
        await sqlite.commit(Write("unknown", batches=(batch(1),)))
    await sqlite.commit(Write("b", accept=new_task("b"), finish=Finish(5, 9, b"")))
    await sqlite.begin_session(1)  # the listener is called after the waiters have their answers
    assert groups == [(2, len(SCHEMA) + 2 + 3 + 4 + 2), (1, len(SCHEMA) + 2)]


async def test_the_loop_waits_for_threads_only_while_they_work(sqlite: SQLiteJournal) -> None:
    """Once all is answered, also with errors, nothing counts as outstanding."""
    await asyncio.gather(*(sqlite.commit(accepted(f"task-{index}")) for index in range(5)))
    with pytest.raises(InvalidWrite):
        await sqlite.commit(accepted("task-0"))
    await sqlite.task("task-0")
    await sqlite.begin_session(1)
    assert sqlite._writing._handoff._outstanding == 0
