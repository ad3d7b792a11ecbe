"""Garbage: what a task was made of is freed when it has ended, and not left for the collector, which would hold the loop for it."""

import asyncio
import gc
from collections.abc import Iterator

import pytest
from support.applications import call_schema
from support.fakes import FakeClock, ScriptedCalls, running_application

from flowgram_core.embedded.task_runner import TaskRunner
from flowgram_core.engine.execution import Execution
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the collector, objects that refer to each other stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def _objects_of_tasks() -> list[object]:
    return [each for each in gc.get_objects() if isinstance(each, TaskRunner | Execution)]


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("end", ["answer", "failure", "cancel", "timeout"])
async def test_a_task_with_calls_leaves_no_garbage(end: str) -> None:
    """However it ends: thousands of tasks may end at once."""
    calls, clock = ScriptedCalls(), FakeClock()
    async with running_application(
        calls, settings=RuntimeSettings(call_timeouts={"code": 60}), clock=clock
    ) as application:
        record = await application.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        assert _objects_of_tasks()
        if end == "answer":
            calls.answer("a", {"v": 1})
        elif end == "failure":
            calls.fail("a", "not today")
        elif end == "timeout":
            clock.advance(60)
        else:
            await application.cancel(record.task_id, "")
        await application.wait(record.task_id)
        for _ in range(10):
            await asyncio.sleep(0)
        assert _objects_of_tasks() == []
