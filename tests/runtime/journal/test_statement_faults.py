"""The journal where SQLite itself fails, at each statement in turn: all of a write is there or nothing, and it goes on."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from support.journals import accepted, batch, finished

from flowgram_core.journal import queries
from flowgram_core.journal.connection import open_writer
from flowgram_core.journal.errors import JournalDamaged, JournalError, JournalUnavailable
from flowgram_core.journal.interface import Finish, ServerSession, Write
from flowgram_core.journal.migrations import VERSION, migrate, version_of
from flowgram_core.journal.retention import End
from flowgram_core.journal.sqlite_errors import unavailable
from flowgram_core.journal.write_groups import Writer

STATEMENTS = 200
"""More than anything here takes."""


class Kind(Enum):
    """How a statement can fail: SQLite's code, and a part of what operators read."""

    IOERR = (sqlite3.SQLITE_IOERR_WRITE, "input/output error")
    FULL = (sqlite3.SQLITE_FULL, "there is no space left")
    BUSY = (sqlite3.SQLITE_BUSY, "another program holds it")
    CORRUPT = (sqlite3.SQLITE_CORRUPT, "is damaged")

    def error(self) -> sqlite3.OperationalError:
        error = sqlite3.OperationalError("on purpose")
        error.sqlite_errorcode = self.value[0]
        error.sqlite_errorname = self.name
        return error

    def explains(self, error: JournalError | None) -> bool:
        """Whether an error says what happened."""
        wanted = JournalDamaged if self is Kind.CORRUPT else JournalUnavailable
        return type(error) is wanted and self.value[1] in str(error)


class Lasting(Enum):
    """How long it fails."""

    ONCE = "one statement"
    ONCE_AND_UNDONE = "one statement, with which SQLite undoes the transaction"
    UNTIL_HEALED = "all statements from there on"


class Plan:
    """Which statement fails, and how.

    Attributes:
        failed: Whether one has failed.
    """

    def __init__(self, number: int, kind: Kind, lasting: Lasting) -> None:
        self.failed = False
        self._left = number
        self._kind = kind
        self._lasting = lasting

    def next(self, connection: "FaultyConnection") -> None:
        """Counts one statement, which fails if it is its turn."""
        self._left -= 1
        if self._left >= 0 or (self._left < -1 and self._lasting is not Lasting.UNTIL_HEALED):
            return
        self.failed = True
        if self._lasting is Lasting.ONCE_AND_UNDONE:
            connection.plan = None
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise self._kind.error()


class FaultyCursor(sqlite3.Cursor):
    """Counts what it is asked to execute."""

    connection: "FaultyConnection"

    def execute(self, *args: Any) -> sqlite3.Cursor:
        self._count()
        return super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        self._count()
        return super().executemany(*args)

    def executescript(self, *args: Any) -> sqlite3.Cursor:
        self._count()
        return super().executescript(*args)

    def _count(self) -> None:
        if self.connection.plan is not None:
            self.connection.plan.next(self.connection)


class FaultyConnection(sqlite3.Connection):
    """A connection whose statements fail as a plan says.

    Attributes:
        plan: The plan; None: nothing fails.
    """

    plan: Plan | None = None

    def cursor(self, factory: Any = FaultyCursor) -> Any:
        return super().cursor(factory)

    def execute(self, *args: Any) -> sqlite3.Cursor:
        return self.cursor().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        return self.cursor().executemany(*args)

    def executescript(self, *args: Any) -> sqlite3.Cursor:
        return self.cursor().executescript(*args)


def faulty(path: Path) -> FaultyConnection:
    return sqlite3.connect(path, isolation_level=None, factory=FaultyConnection)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with finished and unfinished tasks."""
    path = tmp_path_factory.mktemp("template") / "journal.db"
    with closing(open_writer(path, "normal")) as connection:
        outcomes = Writer(connection, path).apply(
            [
                accepted("waiting", request_id="w"),
                accepted("running", batch(1), batch(2)),
                finished("old", schema="old", end_time=1_000),
                finished("older", end_time=900),
            ]
        )
        assert outcomes == [None] * 4
    return path


@contextmanager
def copied(template: Path, tmp_path: Path) -> Iterator[tuple[Path, FaultyConnection]]:
    path = tmp_path / "journal.db"
    shutil.copy(template, path)
    try:
        with closing(faulty(path)) as connection:
            yield path, connection
    finally:
        for file in tmp_path.iterdir():
            file.unlink()


def each_plan(kind: Kind, lasting: Lasting) -> Iterator[Plan]:
    """Plans for one statement after the other, until there is none left to fail."""
    for number in range(STATEMENTS):
        plan = Plan(number, kind, lasting)
        yield plan
        if not plan.failed:
            assert number > 0
            return
    raise AssertionError("there is no end of statements")


def everything(path: Path) -> dict[str, Any]:
    """All that others see: each task with its log and its schema."""
    with closing(sqlite3.connect(path)) as connection:
        seen = {}
        for record in queries.tasks(connection, "default", 1_000, None, frozenset(), {}):
            log = queries.read(connection, record.task_id, 0, 1 << 30)
            whole = queries.task(connection, record.task_id)
            seen[record.task_id] = (whole, log, queries.schema(connection, record.schema_hash))
        return seen


def writes() -> list[Write]:
    """One of each sort."""
    return [
        accepted("new", batch(1), request_id="n", schema="new"),
        Write("waiting", batches=(batch(1),), started=5),
        Write("running", batches=(batch(3, 5),), started=5, finish=Finish(4, 6, b"failed")),
        finished("quick", labels={"a": "b"}),
    ]


def same(write: Write, left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Whether two views have the same of what a write is about, but for the order of acceptance."""
    return _seen(write.task_id, left) == _seen(write.task_id, right)


def _seen(task_id: str, view: dict[str, Any]) -> Any:
    if task_id not in view:
        return None
    record, log, schema = view[task_id]
    return record.status, record.inputs, record.labels, record.result, record.last_sequence, log, schema


@pytest.mark.parametrize("lasting", Lasting)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("count", [1, 4])
def test_a_write_is_whole_or_not_there(
    template: Path, tmp_path: Path, kind: Kind, lasting: Lasting, count: int
) -> None:
    """Wherever a group of writes fails: each is visible as a whole if it was reported as done, and else not at all.

    The error says what happened, and the same write can be made next.
    """
    group = writes()[:count]
    before = everything(template)
    with copied(template, tmp_path) as (path, connection):
        assert Writer(connection, path).apply(group) == [None] * count
        after = everything(path)
    for plan in each_plan(kind, lasting):
        with copied(template, tmp_path) as (path, connection):
            writer = Writer(connection, path)
            connection.plan = plan
            outcomes = writer.apply(group)
            connection.plan = None
            seen = everything(path)
            for write, outcome in zip(group, outcomes, strict=True):
                assert same(write, seen, before if outcome else after)
                assert outcome is None or kind.explains(outcome)
            failed = [write for write, outcome in zip(group, outcomes, strict=True) if outcome]
            assert len(failed) == count or not plan.failed or lasting is not Lasting.UNTIL_HEALED
            assert failed or not plan.failed or count > 1
            assert writer.apply(failed) == [None] * len(failed)
            seen = everything(path)
            assert seen.keys() == after.keys()
            assert all(same(write, seen, after) for write in group)


def attempt(work: Callable[..., Any], *args: object) -> tuple[Any, sqlite3.Error | None]:
    """What work gives back, or SQLite's error."""
    try:
        return work(*args), None
    except sqlite3.Error as error:
        return None, error


Action = Callable[[Writer], Any]
REMOVALS: Sequence[Action] = (
    lambda writer: writer.remove_finished(End(2**62, 2**62), 10),
    Writer.remove_logs,
    Writer.free_pages,
)


@pytest.mark.parametrize("lasting", Lasting)
@pytest.mark.parametrize("kind", Kind)
def test_a_removal_is_whole_or_not_done(template: Path, tmp_path: Path, kind: Kind, lasting: Lasting) -> None:
    """Wherever one of its steps fails: nothing of the step is done, it can be done next, and so can all that follow."""
    before = everything(template)
    kept = {task_id: seen for task_id, seen in before.items() if task_id in {"waiting", "running"}}
    for step in range(len(REMOVALS)):
        for plan in each_plan(kind, lasting):
            with copied(template, tmp_path) as (path, connection):
                writer = Writer(connection, path)
                for action in REMOVALS[:step]:
                    action(writer)
                connection.plan = plan
                _, error = attempt(REMOVALS[step], writer)
                connection.plan = None
                assert (error is not None) is plan.failed
                if error is not None:
                    assert kind.explains(unavailable(path, error))
                    assert everything(path) == (kept if step else before)
                for action in REMOVALS[step:]:
                    action(writer)
                assert everything(path) == kept
                assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
                assert connection.execute("SELECT count(*) FROM removed").fetchone() == (0,)


@pytest.mark.parametrize("lasting", Lasting)
@pytest.mark.parametrize("kind", Kind)
def test_a_life_is_recorded_or_not(template: Path, tmp_path: Path, kind: Kind, lasting: Lasting) -> None:
    """Wherever the beginning or the extension of a life fails, the lives are as they were, and it can be done next."""
    works: Sequence[tuple[Action, list[ServerSession]]] = (
        (lambda writer: writer.begin_session(2_000), []),
        (lambda writer: writer.extend_session(ServerSession(2_000, 3_000)), [ServerSession(2_000, 2_000)]),
    )
    for step, (work, before) in enumerate(works):
        for plan in each_plan(kind, lasting):
            with copied(template, tmp_path) as (path, connection):
                writer = Writer(connection, path)
                assert writer.apply([Write("waiting", started=5)]) == [None]  # it needs all lives since
                for done, _ in works[:step]:
                    done(writer)
                connection.plan = plan
                _, error = attempt(work, writer)
                connection.plan = None
                assert (error is not None) is plan.failed
                if error is not None:
                    with closing(sqlite3.connect(path)) as other:
                        assert [
                            ServerSession(*row)
                            for row in other.execute("SELECT began, alive FROM server_sessions")
                        ] == before
                    work(writer)
                assert writer.begin_session(4_000) == [ServerSession(2_000, 2_000 if step == 0 else 3_000)]


@pytest.mark.parametrize("kind", Kind)
def test_what_could_not_be_undone_is_not_committed_by_the_next_step(
    template: Path, tmp_path: Path, kind: Kind
) -> None:
    """A write that failed, and whose undoing failed too, stays invisible whatever comes next."""
    before = everything(template)
    for plan in each_plan(kind, Lasting.UNTIL_HEALED):
        for action in REMOVALS[1:]:
            with copied(template, tmp_path) as (path, connection):
                writer = Writer(connection, path)
                connection.plan = plan
                (outcome,) = writer.apply(writes()[:1])
                connection.plan = None
                action(writer)
                assert outcome is None or everything(path) == before


QUERIES: dict[str, Callable[[sqlite3.Connection], Any]] = {
    "task": lambda connection: queries.task(connection, "running"),
    "task of a namespace": lambda connection: queries.task(connection, "running", "default"),
    "find_request": lambda connection: queries.find_request(connection, "w", "default"),
    "read": lambda connection: queries.read(connection, "running", 0, 1 << 20),
    "tasks": lambda connection: queries.tasks(connection, "default", 10, None, frozenset(), {}),
    "tasks by status": lambda connection: queries.tasks(
        connection, "default", 10, None, frozenset({1, 3}), {}
    ),
    "unfinished": lambda connection: queries.unfinished(connection, 0, 10),
}

LISTS = {"tasks", "tasks by status", "unfinished"}


@pytest.mark.parametrize("lasting", [Lasting.ONCE, Lasting.UNTIL_HEALED])
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("query", QUERIES)
def test_what_is_read_is_right_or_an_error(
    template: Path, tmp_path: Path, query: str, kind: Kind, lasting: Lasting
) -> None:
    """Wherever a query fails it raises, and shows no less than there is; only what is damaged is left out of lists."""
    read = QUERIES[query]
    for plan in each_plan(kind, lasting):
        with copied(template, tmp_path) as (_, connection):
            expected = read(connection)
            connection.plan = plan
            found, error = attempt(read, connection)
            connection.plan = None
            if error is not None:
                assert plan.failed
                assert error.sqlite_errorcode == kind.value[0]
            elif query in LISTS and kind is Kind.CORRUPT:
                assert all(record in expected for record in found)
            else:
                assert found == expected
            assert read(connection) == expected


@pytest.mark.parametrize("lasting", Lasting)
@pytest.mark.parametrize("kind", Kind)
def test_a_new_file_is_of_one_version_or_another(tmp_path: Path, kind: Kind, lasting: Lasting) -> None:
    """Wherever making the tables fails: the file is empty or of some version, and the next opening completes it."""
    path = tmp_path / "journal.db"
    for plan in each_plan(kind, lasting):
        with closing(faulty(path)) as connection:
            connection.plan = plan
            _, error = attempt(migrate, connection, 0)
            assert (error is not None) is plan.failed
        with closing(open_writer(path, "normal")) as whole:
            assert version_of(whole) == VERSION
            assert Writer(whole, path).apply(writes()[:1]) == [None]
        path.unlink()
