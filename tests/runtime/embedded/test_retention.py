"""Retention: which finished tasks are removed, when, and what their watchers get."""

import asyncio
import json
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from support.applications import call_schema, echo_schema
from support.fakes import FakeClock, ScriptedCalls, running_application
from support.journals import Fault, FaultyJournal

from flowgram_core.hosting.errors import TaskNotFound
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.hosting.task_changes import TaskChanges, TaskFilter
from flowgram_core.journal.interface import Batch, Journal, RemovedTask
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling.status import Status


@pytest.fixture(params=["memory", "sqlite"])
async def journal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Journal]:
    journal: Journal = MemoryJournal()
    if request.param == "sqlite":
        journal = await SQLiteJournal.open(tmp_path / "journal.sqlite3")
    yield journal
    await journal.close()


class Removals(MemoryJournal):
    """A journal that tells how often it was asked to remove tasks, and how many it removed each time."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []
        self.asked = asyncio.Event()

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        removed = await super().remove_finished(
            ended_before=ended_before, keep_newest=keep_newest, limit=limit
        )
        self.sizes.append(len(removed))
        self.asked.set()
        return removed


async def left(journal: Journal) -> list[str]:
    """The ids of all tasks, oldest first."""
    records = await journal.tasks(limit=10_000, before=None, statuses=frozenset(), labels={})
    return [record.task_id for record in reversed(records)]


async def test_the_newest_stay(journal: Journal) -> None:
    """By count, those that ended last are kept; running tasks are never removed, and do not count."""
    calls, clock = ScriptedCalls(), FakeClock()
    settings = RuntimeSettings(retention_age=0, retention_count=2, retention_interval=10)
    async with running_application(calls, journal=journal, clock=clock, settings=settings) as application:
        running = await application.run(TaskRequest(call_schema("a")))
        ids = []
        for _ in range(5):
            clock.advance(1)
            ids.append((await application.run(TaskRequest(echo_schema(), '{"x": 1}'))).task_id)
        while len(await left(journal)) > 3:
            await clock.sleeping()
            clock.advance(10)
        assert await left(journal) == [running.task_id, *ids[-2:]]
        for gone in ids[:3]:
            with pytest.raises(TaskNotFound):
                await application.task(gone)
        await calls.running("a")


async def test_by_age_and_by_count_at_once(journal: Journal) -> None:
    """A task goes as soon as one of the two asks for it."""
    clock = FakeClock()
    settings = RuntimeSettings(retention_age=100, retention_count=2, retention_interval=10)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        old = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        clock.advance(95)
        young = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        while old.task_id in await left(journal):
            await clock.sleeping()
            clock.advance(5)
        assert await left(journal) == [young.task_id]


async def test_many_are_removed_in_small_batches() -> None:
    """Between two batches others have their turn."""
    journal, clock = Removals(), FakeClock()
    async with running_application(
        journal=journal, clock=clock, settings=RuntimeSettings(retention_age=0, retention_count=0)
    ) as application:
        for _ in range(1_100):
            await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
    clock.advance(1000)
    settings = RuntimeSettings(retention_age=100, retention_count=0)
    async with running_application(journal=journal, clock=clock, settings=settings):
        while sum(journal.sizes) < 1_100:
            journal.asked.clear()
            await journal.asked.wait()
    assert journal.sizes == [1_000, 100]


async def test_a_watcher_of_a_task_that_is_removed_ends_with_not_found(journal: Journal) -> None:
    """However far it has come; a watcher that comes later learns it at once."""
    calls, clock = ScriptedCalls(), FakeClock()
    settings = RuntimeSettings(retention_age=10, retention_interval=10, tail_bytes=1, step_budget=1)
    async with running_application(calls, journal=journal, clock=clock, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        watch = application.watch(record.task_id, 0)
        assert isinstance(await anext(watch), Batch)
        await calls.running("a")
        calls.answer("a", {"v": "1"})
        await application.wait(record.task_id)
        while record.task_id in await left(journal):
            await clock.sleeping()
            clock.advance(11)
        with pytest.raises(TaskNotFound):
            async for _ in watch:
                pass
        with pytest.raises(TaskNotFound):
            await anext(application.watch(record.task_id, 0))
        for ask in (application.wait, application.schema):
            with pytest.raises(TaskNotFound):
                await ask(record.task_id)
        with pytest.raises(TaskNotFound):
            await anext(application.log(record.task_id))
        with pytest.raises(TaskNotFound):
            await application.cancel(record.task_id, "")


async def test_a_request_id_is_kept_as_long_as_its_task(journal: Journal) -> None:
    """Once the task is removed, the same request is a new one."""
    clock = FakeClock()
    settings = RuntimeSettings(retention_age=10, retention_interval=10)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        request = TaskRequest(echo_schema(), '{"x": 1}', request_id="r")
        first = await application.run(request)
        assert (await application.run(request)).task_id == first.task_id
        while first.task_id in await left(journal):
            await clock.sleeping()
            clock.advance(11)
        assert (await application.run(request)).task_id != first.task_id


async def test_two_requests_of_one_id_at_once_are_one_task_and_a_conflict(journal: Journal) -> None:
    """Where they differ, one is accepted and the other refused, whatever the journal has yet to write of them."""
    async with running_application(journal=journal) as application:
        for number in range(20):
            requests = [
                TaskRequest(echo_schema(), f'{{"x": {x}}}', request_id=f"r{number}") for x in range(2)
            ]
            outcomes = await asyncio.gather(
                *(application.run(request) for request in requests), return_exceptions=True
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["RequestConflict", "TaskRecord"]
        tasks = await application.tasks(limit=100, before=None, statuses=frozenset(), labels={})
        assert len(tasks) == 20


def pages(path: Path) -> int:
    """How many pages a journal has, those of the write-ahead log included."""
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("PRAGMA page_count").fetchone()
    return int(count)


async def test_the_file_shrinks(tmp_path: Path) -> None:
    """The space of removed tasks goes back to the file system."""
    path, clock = tmp_path / "journal.sqlite3", FakeClock()
    journal = await SQLiteJournal.open(path)
    settings = RuntimeSettings(
        retention_age=10, retention_interval=10, max_journal_bytes=0, disk_reserve_bytes=0
    )
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        schema = echo_schema()
        for index in range(20):
            await application.run(TaskRequest(schema, json.dumps({"x": index, "more": "x" * 100_000})))
        while await left(journal):
            await clock.sleeping()
            clock.advance(11)
        while await asyncio.to_thread(pages, path) > 40:  # the logs follow, and then the space
            pass
    await journal.close()
    assert path.stat().st_size < 200_000


async def test_a_journal_that_fails_does_not_end_retention() -> None:
    """What could not be removed is removed at the next look."""
    inner, clock = MemoryJournal(), FakeClock()

    def plan(operation: str, number: int) -> Fault | None:
        return Fault.ERROR if operation == "remove_finished" and number < 3 else None

    settings = RuntimeSettings(retention_age=10, retention_interval=10)
    journal = FaultyJournal(inner, plan)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        record = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        assert record.status == Status.SUCCEEDED
        while await left(inner):
            await clock.sleeping()
            clock.advance(11)


class Mistaken(MemoryJournal):
    """A journal with a mistake, which shows at first."""

    faults = 2

    async def remove_finished(
        self, *, ended_before: int | None, keep_newest: int | None, limit: int
    ) -> list[RemovedTask]:
        if self.faults:
            self.faults -= 1
            raise ZeroDivisionError("a mistake")
        return await super().remove_finished(ended_before=ended_before, keep_newest=keep_newest, limit=limit)


async def test_an_error_does_not_end_retention(caplog: pytest.LogCaptureFixture) -> None:
    """It is in the program's log, and finished tasks are looked through again."""
    journal, clock = Mistaken(), FakeClock()
    settings = RuntimeSettings(retention_age=10, retention_interval=10)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        while await left(journal):
            await clock.sleeping()
            clock.advance(11)
    assert caplog.text.count("retention failed") == 2
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("age", [1e14, math.inf])
async def test_an_age_beyond_all_times_removes_nothing_by_age(journal: Journal, age: float) -> None:
    """However long finished tasks may be kept: those that are too many are removed all the same."""
    clock = FakeClock()
    settings = RuntimeSettings(retention_age=age, retention_count=2, retention_interval=10)
    async with running_application(journal=journal, clock=clock, settings=settings) as application:
        ids = []
        for _ in range(4):
            clock.advance(1)
            ids.append((await application.run(TaskRequest(echo_schema(), '{"x": 1}'))).task_id)
        while len(await left(journal)) > 2:
            await clock.sleeping()
            clock.advance(11)
        assert await left(journal) == ids[-2:]


async def test_watchers_of_tasks_hear_of_removed_ones(journal: Journal) -> None:
    """A task that is accepted, ended and removed while somebody watches is reported as removed in the end."""
    clock = FakeClock()
    settings = RuntimeSettings(retention_age=0, retention_count=1, retention_interval=10)
    async with running_application(journal=journal, settings=settings, clock=clock) as application:
        watch = application.watch_tasks(TaskFilter(labels={"n": "0"}))
        assert await anext(watch) == TaskChanges()
        first, _ = [
            await application.run(TaskRequest(echo_schema(), '{"x":1}', labels={"n": str(n)}))
            for n in range(2)
        ]
        (received,) = (await anext(watch)).tasks
        assert (received.task_id, received.status) == (first.task_id, Status.SUCCEEDED)
        removal = asyncio.ensure_future(anext(watch))
        while not removal.done():
            await asyncio.sleep(0)
            clock.advance(1)
        assert (await removal).removed == (first.task_id,)
        await watch.aclose()
