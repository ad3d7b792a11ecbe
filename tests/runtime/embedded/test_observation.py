"""What an observer of the embedded host is notified of, and when."""

import pytest
from support.applications import call_schema, echo_schema, quiet
from support.fakes import ScriptedCalls, running_application
from support.journals import Fault, FaultyJournal
from support.observation import KeepingObserver

from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.journal.memory import MemoryJournal
from flowgram_core.modeling.status import Status


async def test_the_whole_way_of_a_task() -> None:
    """Acceptance, the runs of its nodes in order, and its end."""
    observer = KeepingObserver()
    async with running_application(observer=observer) as application:
        await application.run(TaskRequest(echo_schema(), '{"x": 7}'))
    assert observer.recorded == [
        "accepted",
        f"ended {Status.SUCCEEDED}",
        "task-1: PROCESSING",
        "task-1/start_0: SUCCEEDED",
        "task-1/end_0: SUCCEEDED",
        "task-1: SUCCEEDED",
        "closed",
    ]


async def test_a_replay_is_not_reported() -> None:
    """After a restart only what is new is reported, under the same names."""
    journal, before, after = MemoryJournal(), KeepingObserver(), KeepingObserver()
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, settings=quiet(), observer=before) as application:
        await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
    assert before.recorded == [
        "accepted",
        "task-1: PROCESSING",
        "task-1/start_0: SUCCEEDED",
        "task-1/a: PROCESSING",
        "a begins",
        "closed",
    ]
    calls = ScriptedCalls()
    async with running_application(calls, journal=journal, settings=quiet(), observer=after) as application:
        await calls.running("a")
        calls.answer("a", {"v": "1"})
        await application.wait("task-1")
    assert (before.traces, after.traces) == (["of-origin"], ["of-origin"])
    assert after.recorded == [
        "a begins",
        "a ends",
        f"ended {Status.SUCCEEDED}",
        "task-1/a: SUCCEEDED",
        "task-1/end_0: SUCCEEDED",
        "task-1: SUCCEEDED",
        "closed",
    ]


async def test_what_is_not_durable_is_not_reported() -> None:
    """A task whose acceptance could not be committed was none."""
    observer = KeepingObserver()
    journal = FaultyJournal(MemoryJournal(), lambda name, _: Fault.ERROR if name == "commit" else None)
    async with running_application(journal=journal, settings=quiet(), observer=observer) as application:
        with pytest.raises(JournalUnavailable):
            await application.run(TaskRequest(echo_schema(), '{"x": 7}'))
    assert observer.recorded == ["closed"]


async def test_a_canceled_task() -> None:
    """Its end is reported, and that of the run that was stopped."""
    observer, calls = KeepingObserver(), ScriptedCalls()
    async with running_application(calls, observer=observer) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        await application.cancel(record.task_id, "enough")
    ended = [f"ended {Status.CANCELED}", "task-1/a: CANCELED", "task-1: CANCELED", "closed"]
    assert observer.recorded[-4:] == ended


async def test_the_state_of_the_host() -> None:
    """Tasks and calls are counted while they run and wait, and no longer."""
    calls = ScriptedCalls()
    settings = RuntimeSettings(max_running_tasks=1, max_calls=1)
    async with running_application(calls, settings=settings) as application:
        first = await application.run(TaskRequest(call_schema("a", "b")))
        await application.run(TaskRequest(call_schema("a", "b")))
        await calls.running("a")
        found = application.statistics()
        assert found.tasks == {Status.PENDING: 1, Status.PROCESSING: 1}
        assert (found.running_calls, found.waiting_calls) == ({"code": 1}, {"code": 1})
        assert found.journal_bytes is not None
        await application.cancel(first.task_id, "")
        await application.cancel("task-2", "")
        found = application.statistics()
        assert not any(found.tasks.values())
        assert not any([*found.running_calls.values(), *found.waiting_calls.values()])
