"""The requests to a cluster: which are made again, and how often."""

import asyncio
from collections import deque
from typing import Any

import pytest

pytest.importorskip("temporalio")

from support.fakes import FakeClock
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import History, HistoryEvent
from temporalio.api.workflowservice.v1 import (
    GetWorkflowExecutionHistoryRequest,
    GetWorkflowExecutionHistoryResponse,
)
from temporalio.service import RPCError, RPCStatusCode

from flowgram_core.hosting.errors import TaskNotFound
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.temporal.cluster import Cluster

BUSY = RPCStatusCode.RESOURCE_EXHAUSTED
AWAY = RPCStatusCode.UNAVAILABLE
LATE = RPCStatusCode.DEADLINE_EXCEEDED


class Histories:
    """A client whose cluster answers requests for histories as the test says, with errors or pages.

    Attributes:
        namespace: Its namespace.
        workflow_service: Itself.
        requests: What it was asked.
    """

    def __init__(self, *answers: RPCStatusCode | GetWorkflowExecutionHistoryResponse) -> None:
        self.namespace = "default"
        self.workflow_service = self
        self.requests: list[GetWorkflowExecutionHistoryRequest] = []
        self._answers = deque(answers)

    async def get_workflow_execution_history(
        self, request: GetWorkflowExecutionHistoryRequest, **_: Any
    ) -> GetWorkflowExecutionHistoryResponse:
        self.requests.append(request)
        answer = self._answers.popleft()
        if isinstance(answer, RPCStatusCode):
            raise RPCError("no", answer, b"")
        return answer


def page(*events: HistoryEvent, token: bytes = b"") -> GetWorkflowExecutionHistoryResponse:
    return GetWorkflowExecutionHistoryResponse(history=History(events=events), next_page_token=token)


def completed(number: int) -> HistoryEvent:
    return HistoryEvent(event_id=number, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED)


def continued(run_id: str) -> HistoryEvent:
    found = HistoryEvent(event_id=9, event_type=EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW)
    found.workflow_execution_continued_as_new_event_attributes.new_execution_run_id = run_id
    return found


def cluster_of(*answers: Any) -> tuple[Cluster, Histories, FakeClock]:
    client: Any = Histories(*answers)
    clock = FakeClock()
    return Cluster(client, "queue", clock), client, clock


async def test_a_busy_cluster_is_asked_again() -> None:
    """A long poll goes on however often the cluster has no room for it, each time after a longer delay."""
    cluster, client, clock = cluster_of(*[BUSY] * 7, page(completed(5)))
    waiting = asyncio.create_task(cluster.closing_event("t1"))
    for delay in (1, 2, 4, 8, 16, 30, 30):
        await clock.sleeping()
        asked = len(client.requests)
        clock.advance(delay - 0.001)
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(client.requests) == asked
        clock.advance(0.001)
    assert (await waiting).event_id == 5
    assert len(client.requests) == 8


@pytest.mark.parametrize("error", [AWAY, LATE])
async def test_a_broken_connection_is_made_again_once(error: RPCStatusCode) -> None:
    """A long poll that broke off is begun again at once; where that breaks off as well the cluster is away."""
    cluster, client, _ = cluster_of(error, page(completed(3)))
    assert (await cluster.closing_event("t1")).event_id == 3
    cluster, client, _ = cluster_of(error, error)
    with pytest.raises(JournalUnavailable):
        await cluster.history("t1", "r1", b"", wait=True)
    assert len(client.requests) == 2


async def test_a_read_is_left_to_the_client() -> None:
    """What is no long poll ends quickly: the client has made it again already."""
    for error in (BUSY, AWAY, LATE):
        cluster, client, _ = cluster_of(error)
        with pytest.raises(JournalUnavailable):
            await cluster.history("t1", "r1", b"", wait=False)
        assert len(client.requests) == 1


async def test_a_task_that_there_is_not() -> None:
    """A long poll for it ends at once."""
    cluster, _, _ = cluster_of(RPCStatusCode.NOT_FOUND)
    with pytest.raises(TaskNotFound):
        await cluster.closing_event("t1")


async def test_the_end_is_found_over_all_runs() -> None:
    """From the run that is given, over pages that bring nothing and runs that go on, to the event that ends the last one."""
    cluster, client, _ = cluster_of(
        page(token=b"more"), page(continued("r2")), page(token=b"still"), page(completed(7))
    )
    assert (await cluster.closing_event("t1", "r1")).event_id == 7
    asked = [(request.execution.run_id, request.next_page_token) for request in client.requests]
    assert asked == [("r1", b""), ("r1", b"more"), ("r2", b""), ("r2", b"still")]
