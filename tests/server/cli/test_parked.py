"""`flowgram parked`: what an operator sees of tasks that end the server's process, and does about them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.journals import accepted, batch

from flowgram_core.journal.interface import Finish, TaskRecord, Write
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling.status import Status
from flowgram_server.cli.exits import ExitStatus
from flowgram_server.cli.root import run
from flowgram_server.hosts import JOURNAL_FILE

_T = TypeVar("_T")


def with_journal(data: Path, work: Callable[[SQLiteJournal], "asyncio.Future[_T]"]) -> _T:
    async def main() -> _T:
        journal = await SQLiteJournal.open(data / JOURNAL_FILE)
        try:
            return await work(journal)
        finally:
            await journal.close()

    return asyncio.run(main())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A task that was parked, one that two processes died of, one that went on since, and one that is fine."""

    async def fill(journal: SQLiteJournal) -> None:
        for name in ("parked", "suspect", "recovered", "fine"):
            await journal.commit(accepted(name, batch(1)))
        for session in (1, 2):
            await journal.record_crashes(["parked", "suspect", "recovered"], session)
        await journal.record_crashes(["parked"], 3)
        await journal.commit(Write("parked", batches=(batch(2, 3),), finish=Finish(4, 9, b"")))
        await journal.commit(Write("recovered", batches=(batch(2),)))

    directory = tmp_path / "data"
    directory.mkdir()
    with_journal(directory, fill)  # type: ignore[arg-type]  # a coroutine will do
    return directory


def record(data: Path, task_id: str) -> TaskRecord:
    found = with_journal(data, lambda journal: journal.task(task_id))  # type: ignore[arg-type,return-value]  # as above
    assert isinstance(found, TaskRecord)
    return found


def test_the_list_has_what_was_parked_and_what_may_be_next(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text, and as JSON."""
    assert run(["parked", "list", "--data", str(data)]) == ExitStatus.SUCCEEDED
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["parked", "default", "parked", "3", "crashes"],
        ["suspect", "default", "pending", "2", "crashes"],
    ]
    assert run(["parked", "list", "--json", "--data", str(data)]) == ExitStatus.SUCCEEDED
    assert json.loads(capsys.readouterr().out) == [
        {"taskID": "parked", "namespace": "default", "status": "failed", "crashes": 3, "parked": True},
        {"taskID": "suspect", "namespace": "default", "status": "pending", "crashes": 2, "parked": False},
    ]


def test_a_task_can_be_ended_without_a_server(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has failed then, and says why; it is no longer listed; twice is refused, and so is a task that is not there."""
    assert run(["parked", "end", "suspect", "--data", str(data)]) == ExitStatus.SUCCEEDED
    ended = record(data, "suspect")
    assert ended.status == Status.FAILED
    assert b"Task was ended by the operator" in (ended.result or b"")
    assert run(["parked", "end", "suspect", "--data", str(data)]) == ExitStatus.REFUSED
    assert "has ended" in capsys.readouterr().err
    assert run(["parked", "end", "missing", "--data", str(data)]) == ExitStatus.REFUSED
    assert run(["parked", "end", "fine", "--data", str(data / "missing")]) == ExitStatus.INVALID


def test_crashes_can_be_forgotten(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After a new version or with more memory, a task gets all its attempts again."""
    assert run(["parked", "retry", "suspect", "--data", str(data)]) == ExitStatus.SUCCEEDED
    capsys.readouterr()
    assert run(["parked", "list", "--data", str(data)]) == ExitStatus.SUCCEEDED
    assert "suspect" not in capsys.readouterr().out
    assert record(data, "suspect").status == Status.PENDING


def test_while_a_server_runs_tasks_can_be_seen_but_not_ended(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two writers would be one too many."""

    async def work(journal: SQLiteJournal) -> tuple[int, int]:
        ended = await asyncio.to_thread(run, ["parked", "end", "suspect", "--data", str(data)])
        return ended, await asyncio.to_thread(run, ["parked", "list", "--data", str(data)])

    assert with_journal(data, work) == (ExitStatus.REFUSED, ExitStatus.SUCCEEDED)  # type: ignore[arg-type]  # as above
    shown = capsys.readouterr()
    assert "in use by another server" in shown.err
    assert "suspect" in shown.out
