"""Task logs: how far one has been read, over the runs of its workflow."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("temporalio")

from support.fakes import FakeClock
from temporalio.api.common.v1 import Payload, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflow.v1 import WorkflowExecutionInfo
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionResponse,
    GetWorkflowExecutionHistoryResponse,
)

from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.temporal.task_input import Position, Shape, TaskInput
from flowgram_core.temporal.task_log import HistoryReader, TaskLog, TaskLogs
from flowgram_server.rpc.codec import Codec

TASK = TaskInput("{}", "{}", None, {}, 100, None, Shape()).encode()


class FakeCluster:
    """A cluster with one task, whose history comes page by page.

    Attributes:
        newest: The run that it says is the newest one, and how many events that has.
        pages: What long polls get.
    """

    def __init__(self) -> None:
        self.newest = ("r1", 1)
        self.pages: asyncio.Queue[list[HistoryEvent]] = asyncio.Queue()

    @property
    def info(self) -> WorkflowExecutionInfo:
        run_id, length = self.newest
        execution = WorkflowExecution(workflow_id="t1", run_id=run_id)
        return WorkflowExecutionInfo(execution=execution, history_length=length)

    async def describe(self, workflow_id: str) -> DescribeWorkflowExecutionResponse:
        return DescribeWorkflowExecutionResponse(workflow_execution_info=self.info)

    async def history(
        self, workflow_id: str, run_id: str, token: bytes, *, wait: bool, page_size: int = 0
    ) -> GetWorkflowExecutionHistoryResponse:
        events = await self.pages.get()
        continued = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
        more = b"" if events[-1].event_type == continued else b"more"
        return GetWorkflowExecutionHistoryResponse(history=History(events=events), next_page_token=more)

    async def decoded(self, payloads: Sequence[Payload]) -> list[bytes]:
        return [payload.data for payload in payloads]


def started() -> HistoryEvent:
    found = HistoryEvent(event_id=1, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED)
    for data in (TASK, Position().encode()):
        found.workflow_execution_started_event_attributes.input.payloads.add(data=data)
    return found


def timer(number: int) -> HistoryEvent:
    return HistoryEvent(event_id=number, event_type=EventType.EVENT_TYPE_TIMER_STARTED)


def continued(number: int, run_id: str) -> HistoryEvent:
    found = HistoryEvent(event_id=number, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    found.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = run_id
    return found


@asynccontextmanager
async def followed() -> AsyncIterator[tuple[FakeCluster, TaskLog]]:
    """A task that is followed, and has begun."""
    cluster: Any = FakeCluster()
    reader = HistoryReader(cluster, Codec(Secrets()), FairScheduler())
    cluster.pages.put_nowait([started()])
    async with TaskLogs(cluster, reader, FakeClock()).opened(cluster.info) as log:
        yield cluster, log


async def settled(task: "asyncio.Task[None]") -> bool:
    """Whether a task has ended once everything has happened that waits for nothing."""
    for _ in range(50):
        await asyncio.sleep(0)
    return task.done()


async def test_nothing_is_left_of_a_task_that_nobody_watches() -> None:
    """Those who watch a task share one follower, which ends with the last of them."""
    cluster: Any = FakeCluster()
    logs = TaskLogs(cluster, HistoryReader(cluster, Codec(Secrets()), FairScheduler()), FakeClock())
    cluster.pages.put_nowait([started()])
    async with logs.opened(cluster.info) as log:
        async with logs.opened(cluster.info) as same:
            assert same is log
            assert followers() == 1
        assert (len(logs), followers()) == (1, 1)
    await asyncio.sleep(0)
    assert (len(logs), followers()) == (0, 0)


def followers() -> int:
    """How many follow a task."""
    return sum(task.get_name().startswith("follow ") for task in asyncio.all_tasks())


async def test_catching_up_reads_what_there_was() -> None:
    """It ends when all has been read that the cluster had when it began, and not before."""
    async with followed() as (cluster, log):
        cluster.newest = ("r1", 3)
        catching_up = asyncio.create_task(log.catch_up())
        cluster.pages.put_nowait([timer(2)])
        assert not await settled(catching_up)
        cluster.pages.put_nowait([timer(3)])
        await catching_up
        await log.catch_up()  # nothing is new


async def test_catching_up_with_a_run_that_is_still_to_come() -> None:
    """What the run before has is not enough, however long that is."""
    async with followed() as (cluster, log):
        cluster.newest = ("r2", 2)
        catching_up = asyncio.create_task(log.catch_up())
        cluster.pages.put_nowait([timer(2), timer(3), continued(4, "r2")])
        assert not await settled(catching_up)
        cluster.pages.put_nowait([started()])
        assert not await settled(catching_up)
        cluster.pages.put_nowait([timer(2)])
        await catching_up


async def test_catching_up_with_a_run_that_ends() -> None:
    """A task that goes on in a new run meanwhile has been read as far as it was."""
    async with followed() as (cluster, log):
        cluster.newest = ("r1", 4)
        catching_up = asyncio.create_task(log.catch_up())
        assert not await settled(catching_up)
        cluster.pages.put_nowait([timer(2), timer(3), continued(4, "r2")])
        await catching_up
