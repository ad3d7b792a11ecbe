"""Recovery where something is wrong: each task is on its own, and no one waits for another."""

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.applications import (
    FailingJournal,
    call_schema,
    collect,
    echo_schema,
    logged,
    quiet,
    reached,
    statuses,
)
from support.fakes import FakeClock, ListingCodec, ScriptedCalls, running_application
from support.journals import Fault, FaultyJournal

from flowgram_core.embedded.application import Application
from flowgram_core.engine.events import Event
from flowgram_core.hosting.errors import ShuttingDown
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.interface import Batch, Journal, TaskRecord, Write
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.journal.work_register import SIZE, WorkRegister
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.registry import Registry, pure_node_types


async def leave_running(journal: Journal, *names: str, settings: RuntimeSettings | None = None) -> list[str]:
    """Tasks of one call each, whose application is gone; their ids."""
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, settings=settings or quiet()) as application:
        records = [await application.run(TaskRequest(call_schema(name))) for name in names]
        await calls.running(*names)
    return [record.task_id for record in records]


async def end(application: Application, calls: ScriptedCalls, name: str, task_id: str) -> None:
    """The task goes on, and succeeds."""
    await calls.running(name)
    calls.answer(name, {"v": "1"})
    assert (await application.wait(task_id)).status == Status.SUCCEEDED


async def test_a_damaged_log_ends_its_task_and_no_other(tmp_path: Path) -> None:
    """The damage is reported in the task's message; the others go on; the start does not fail."""
    path = tmp_path / "journal.sqlite3"
    journal = await SQLiteJournal.open(path)
    bad, good = await leave_running(journal, "a", "b")
    await journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "UPDATE events SET events = x'00' WHERE task = (SELECT number FROM tasks WHERE task_id = ?)",
            (bad,),
        )
    connection.close()
    journal, calls = await SQLiteJournal.open(path), ScriptedCalls()
    try:
        async with running_application(calls, journal=journal, settings=quiet()) as application:
            record = await application.task(bad)
            assert record.status == Status.FAILED
            text = "Task cannot go on after a restart: its log is damaged"
            assert record.result == f"('FAILED', None, ['{text}'])".encode()
            await end(application, calls, "b", good)
            assert calls.made == ["b"]
    finally:
        await journal.close()


async def test_a_task_that_cannot_be_read_for_now_is_tried_again() -> None:
    """Others are served meanwhile; who asks for it is asked to come back; then it goes on as if nothing had been."""
    inner = MemoryJournal()
    first, second = await leave_running(inner, "a", "b")
    reads: list[int] = []

    def plan(operation: str, number: int) -> Fault | None:
        if operation != "read":
            return None
        reads.append(number)
        return Fault.ERROR if len(reads) == 1 else None

    calls, clock = ScriptedCalls(), FakeClock()
    journal = FaultyJournal(inner, plan)
    async with running_application(calls, journal=journal, settings=quiet(), clock=clock) as application:
        await end(application, calls, "b", second)
        with pytest.raises(JournalUnavailable):
            await application.wait(first)
        with pytest.raises(JournalUnavailable):
            await application.cancel(first, "")
        with pytest.raises(JournalUnavailable):
            await collect(application, first)
        await clock.sleeping()
        clock.advance(1)
        await end(application, calls, "a", first)


async def test_a_task_that_cannot_be_ended_for_now_is_tried_again() -> None:
    """A log that is replayed differently, on a journal that takes no writes: the task fails when it does again."""
    inner = MemoryJournal()
    failures, unlimited = 3, RuntimeSettings(retention_age=0, retention_count=0, default_timeout=0)
    bad, good = await leave_running(inner, "a", "b", settings=unlimited)
    last = (await inner.task(bad)).last_sequence  # type: ignore[union-attr]  # it exists
    await inner.commit(Write(bad, batches=(Batch(last + 1, last + 1, 1, None, b"of another version"),)))

    def plan(operation: str, number: int) -> Fault | None:
        nonlocal failures
        if operation != "commit" or not failures:
            return None
        failures -= 1
        return Fault.ERROR

    calls, clock = ScriptedCalls(), FakeClock()
    journal = FaultyJournal(inner, plan)
    async with running_application(calls, journal=journal, settings=unlimited, clock=clock) as application:
        await calls.running("b")
        assert (await application.task(bad)).status == Status.PROCESSING
        while (await application.task(bad)).status == Status.PROCESSING:
            clock.advance(1)
            await asyncio.sleep(0)
        assert failures == 0
        assert (await application.task(bad)).status == Status.FAILED
        await end(application, calls, "b", good)


class _HeldJournal(MemoryJournal):
    """While it is held, no log is read to its end."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.free.set()
        self.reading = asyncio.Event()
        self.read_again = asyncio.Event()

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        self.reading.set()
        await self.free.wait()
        self.read_again.set()
        return await super().read(task_id, after_sequence, max_bytes)


async def test_a_stop_during_a_replay_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The task goes on after the next start, and the log tells of no failure."""
    journal = _HeldJournal()
    (task_id,) = await leave_running(journal, "a")
    journal.free.clear()
    journal.reading.clear()
    journal.read_again.clear()
    async with running_application(
        ScriptedCalls(), journal=journal, settings=quiet(), recovered=False
    ) as application:
        await journal.reading.wait()
        await application.drain(0)
        journal.free.set()
        await journal.read_again.wait()
        for _ in range(10):  # until what reads has gone on
            await asyncio.sleep(0)
    assert "cannot continue" not in caplog.text
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, settings=quiet()) as application:
        await end(application, calls, "a", task_id)


async def test_a_start_without_any_list_of_tasks_fails_with_a_clear_error() -> None:
    """If it is unknown which tasks there are, nothing is served in their stead."""
    journal = FaultyJournal(MemoryJournal(), lambda operation, number: Fault.ERROR)
    with pytest.raises(JournalUnavailable):
        async with running_application(journal=journal, settings=quiet()):
            pass


class BrokenCodec(ListingCodec):
    """An encoder that cannot encode what is said of one node."""

    def __init__(self, node_id: str) -> None:
        super().__init__()
        self._node_id = node_id

    def masking(self, names: Iterable[str]) -> ListingCodec:
        return self

    def encode(self, events: Sequence[Event]) -> bytes:
        if any(getattr(event, "node_id", "") == self._node_id for event in events):
            raise ValueError("/secret/path")
        return super().encode(events)


@asynccontextmanager
async def with_codec(
    codec: ListingCodec, calls: ScriptedCalls, journal: Journal, clock: FakeClock | None = None
) -> Any:
    """An application with another encoder."""
    application = Application(
        journal=journal,
        codec=codec,
        registry=Registry([*pure_node_types(), calls]),
        settings=quiet(),
        clock=clock or FakeClock(),
        new_task_id=iter(["x-1", "x-2", "x-3"]).__next__,
    )
    async with application.opened():
        await application.recovered()
        yield application


async def test_an_error_of_this_version_ends_the_task_that_it_hits() -> None:
    """Whatever goes wrong inside while a task is rebuilt, the task fails without telling how, and the others go on."""
    journal, calls = MemoryJournal(), ScriptedCalls()
    bad, good = await leave_running(journal, "a", "b")
    async with with_codec(BrokenCodec("a"), calls, journal) as application:
        text = "Task cannot go on after a restart: internal error"
        assert (await application.task(bad)).result == f"('FAILED', None, ['{text}'])".encode()
        await end(application, calls, "b", good)


class UselessCodec(ListingCodec):
    """An encoder that fails as often as it is asked to."""

    failures = 0

    def masking(self, names: Iterable[str]) -> ListingCodec:
        return self

    def encode(self, events: Sequence[Event]) -> bytes:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError("a mistake")
        return super().encode(events)


async def test_a_task_that_can_be_neither_rebuilt_nor_ended_holds_up_no_other() -> None:
    """A mistake in both is like a journal that cannot be used: others go on, and it is tried again."""
    journal, calls, clock, codec = MemoryJournal(), ScriptedCalls(), FakeClock(), UselessCodec()
    bad, good = await leave_running(journal, "a", "b")
    codec.failures = 2
    async with with_codec(codec, calls, journal, clock) as application:
        await end(application, calls, "b", good)
        assert calls.made == ["b"]
        clock.advance(1)
        await end(application, calls, "a", bad)


async def test_an_error_while_a_task_runs_does_not_leave_it_hanging() -> None:
    """It fails; a watcher is sent away, and finds its end when it comes back. One that was not accepted is refused."""
    calls = ScriptedCalls()
    async with with_codec(BrokenCodec("end_0"), calls, MemoryJournal()) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        watching = asyncio.create_task(collect(application, record.task_id))
        await calls.running("a")
        calls.answer("a", {"v": "1"})
        with pytest.raises(JournalUnavailable):
            await watching
        while not Status((await application.task(record.task_id)).status).terminated:  # noqa: ASYNC110
            await asyncio.sleep(0)  # it is not driven any more, so nothing tells
        log = statuses(await collect(application, record.task_id))
        assert log == ["task PROCESSING", "start_0 SUCCEEDED", "a PROCESSING", "task FAILED"]
    async with with_codec(BrokenCodec("start_0"), calls, MemoryJournal()) as application:
        with pytest.raises(ValueError, match="secret"):
            await application.run(TaskRequest(call_schema("a")))


async def test_an_error_while_the_journal_fails_does_not_leave_a_task_hanging() -> None:
    """It is ended once the journal takes it again, which is tried less and less often."""
    calls, clock, journal = ScriptedCalls(), FakeClock(), FailingJournal()
    async with with_codec(BrokenCodec("end_0"), calls, journal, clock) as application:
        task_id = (await application.run(TaskRequest(call_schema("a")))).task_id
        await calls.running("a")
        journal.failures = 4
        calls.answer("a", {"v": "1"})
        for left, seconds in ((3, 1), (2, 2), (1, 4), (0, 8)):
            while journal.failures > left:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0)
            clock.advance(seconds - 0.1)
            await calls.stays("a", running=False)
            assert journal.failures == left
            assert (await application.task(task_id)).status == Status.PROCESSING
            clock.advance(0.1)
        assert await application.cancel(task_id, "") is False  # which comes back when it has ended
        assert (await application.task(task_id)).status == Status.FAILED


async def test_an_accepted_task_without_any_event_starts() -> None:
    """Half of what was to be written may be there: the task, and nothing of its log."""
    inner, calls = MemoryJournal(), ScriptedCalls()

    def plan(operation: str, number: int) -> Fault | None:
        return Fault.CRASH_HALFWAY if operation == "commit" else None

    journal = FaultyJournal(inner, plan)
    async with running_application(calls, journal=journal, settings=quiet()) as application:
        lost = asyncio.create_task(application.run(TaskRequest(call_schema("a"))))
        await journal.crashed.wait()
    await asyncio.gather(lost, return_exceptions=True)
    (record,) = await inner.unfinished()
    assert record.last_sequence == 0
    async with running_application(calls, journal=inner, settings=quiet(), first_id=1) as application:
        await end(application, calls, "a", record.task_id)


class HeldReading(MemoryJournal):
    """A journal that holds back the log of one task until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.task_id = ""
        self.held = asyncio.Event()
        self.go_on = asyncio.Event()

    async def read(self, task_id: str, after_sequence: int, max_bytes: int) -> list[Batch]:
        if task_id == self.task_id:
            self.held.set()
            await self.go_on.wait()
        return await super().read(task_id, after_sequence, max_bytes)


async def test_cancel_while_others_are_still_rebuilt() -> None:
    """A task that goes on already is stopped; for one that does not yet, the call waits until it does."""
    journal, calls = HeldReading(), ScriptedCalls()
    first, second = await leave_running(journal, "a", "b")
    journal.task_id = second
    async with running_application(
        calls, journal=journal, settings=quiet(), first_id=1, recovered=False
    ) as application:
        await journal.held.wait()
        await calls.running("a")
        assert await application.cancel(first, "") is True
        assert calls.canceled == ["a"]
        assert (await application.task(first)).status == Status.CANCELED
        waiting = [asyncio.create_task(application.cancel(task_id, "")) for task_id in (second, second)]
        assert (await application.task(second)).status == Status.PROCESSING
        new = await application.run(TaskRequest(echo_schema(), '{"x": 1}'))
        assert new.status == Status.SUCCEEDED
        journal.go_on.set()
        assert sorted(await asyncio.gather(*waiting)) == [False, True]
        assert await application.cancel(first, "") is False
        assert (await application.task(second)).status == Status.CANCELED


async def test_a_call_for_a_task_that_is_not_rebuilt_yet_waits_for_it() -> None:
    """Watches show its log at once, and go on when it does; results come; a shutdown sends both away."""
    journal, calls = HeldReading(), ScriptedCalls()
    (task_id,) = await leave_running(journal, "a")
    journal.task_id = task_id
    async with running_application(
        calls, journal=journal, settings=quiet(), first_id=1, recovered=False
    ) as application:
        await journal.held.wait()
        result = asyncio.create_task(application.wait(task_id))
        journal.task_id = ""  # what others read is not held
        watching = asyncio.create_task(collect(application, task_id))
        journal.go_on.set()
        await calls.running("a")
        calls.answer("a", {"v": "1"})
        assert (await result).status == Status.SUCCEEDED
        assert statuses(await watching)[-1] == "task SUCCEEDED"
    journal, calls = HeldReading(), ScriptedCalls()
    (task_id,) = await leave_running(journal, "a")
    journal.task_id = task_id
    async with running_application(
        calls, journal=journal, settings=quiet(), first_id=1, recovered=False
    ) as application:
        await journal.held.wait()
        asking = [
            asyncio.create_task(work) for work in (application.wait(task_id), application.cancel(task_id, ""))
        ]
        await asyncio.sleep(0)
        await application.drain(0)
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ShuttingDown, ShuttingDown]


async def test_a_task_that_ended_three_processes_is_parked() -> None:
    """The others are not held up by it, and come first; it fails with a message that says why."""
    journal, register = MemoryJournal(), bytearray(SIZE)
    clock = FakeClock()
    bad, good = await leave_running(journal, "a", "b")
    for number in range(3):
        calls = ScriptedCalls()
        clock.advance(1)
        async with running_application(
            calls, journal=journal, settings=quiet(), clock=clock, register=WorkRegister(register)
        ) as application:
            await calls.running("b", "a")
            assert calls.made[0] == ("a" if number == 0 else "b")
            assert (await application.task(bad)).status == Status.PROCESSING
            other = WorkRegister(register)
            session = other.session
        other.start(session)  # the application has closed it; a process that dies does not
        other.begin(bad)
    calls = ScriptedCalls()
    async with running_application(
        calls, journal=journal, settings=quiet(), register=WorkRegister(register)
    ) as application:
        record = await application.task(bad)
        assert record.status == Status.FAILED
        assert b"3 processes in a row died while they worked on it" in (record.result or b"")
        await end(application, calls, "b", good)
        assert calls.made == ["b"]


async def test_an_ordered_end_is_no_crash() -> None:
    """Whatever the process was working on: nothing is counted."""
    journal, register = MemoryJournal(), bytearray(SIZE)
    (task_id,) = await leave_running(journal, "a")
    for _ in range(5):
        calls, own = ScriptedCalls(), WorkRegister(register)
        assert own.crashed == ()
        async with running_application(calls, journal=journal, settings=quiet(), register=own):
            own.begin(task_id)
            await calls.running("a")
    assert await journal.record_crashes([], 99) == {}


async def test_canceling_twice_at_once_stops_once() -> None:
    """One of two answers says that it did it; both come when the calls have ended."""
    calls = ScriptedCalls()
    async with running_application(calls) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        results = await asyncio.gather(*(application.cancel(record.task_id, "") for _ in range(3)))
        assert sorted(results) == [False, False, True]
        assert calls.canceled == ["a"]
        assert not await application.cancel(record.task_id, "")


async def test_watchers_go_on_after_a_restart_without_gap_or_repeat() -> None:
    """With the last sequence that they saw, from wherever that is in a batch."""
    journal, before, after = MemoryJournal(), ScriptedCalls(), ScriptedCalls()
    settings = RuntimeSettings(tail_bytes=1, retention_age=0, retention_count=0)
    async with running_application(before, journal=journal, settings=settings) as application:
        record = await application.run(TaskRequest(call_schema("a", "b")))
        await before.running("a", "b")
        before.answer("a", {"v": "1"})
        await reached(application, record.task_id, 5)
        seen = await logged(application, record.task_id)
    async with running_application(after, journal=journal, settings=settings) as application:
        watching = asyncio.create_task(collect(application, record.task_id, 5))
        await after.running("b")
        after.answer("b", {"v": "2"})
        rest = await watching
        whole = await logged(application, record.task_id)
        assert rest[0].first_sequence == 6
        assert [*map(_text, seen), *map(_text, rest)] == [*map(_text, whole)]


def _text(batch: Batch) -> bytes:
    return batch.events


async def test_tasks_are_rebuilt_round_robin_by_their_namespaces() -> None:
    """Nobody waits for all the tasks of another namespace that are older; within one the oldest comes first."""

    class Reads(MemoryJournal):
        async def task(self, task_id: str, namespace: str | None = None) -> TaskRecord | None:
            record = await super().task(task_id, namespace)
            if record is not None and namespace is None:
                rebuilt.append(record.namespace)
            return record

    calls, journal, rebuilt = ScriptedCalls(), Reads(), list[str]()
    async with running_application(calls, journal=journal, settings=quiet()) as application:
        for name, namespace in zip("abcdef", ("x", "x", "x", "x", "y", "y"), strict=True):
            await application.run(TaskRequest(call_schema(name), namespace=namespace))
        await calls.running(*"abcdef")
    rebuilt.clear()
    async with running_application(calls, journal=journal, settings=quiet(), first_id=1):
        assert rebuilt == ["x", "y", "x", "y", "x", "x"]
