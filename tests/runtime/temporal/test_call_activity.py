"""Calls as activities: which ones are still made when they come to begin late."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.applications import call_schema
from support.fakes import ScriptedCalls
from support.temporal_host import events_of, temporal_host
from support.temporal_server import TemporalServer
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.errors import JournalUnavailable
from flowgram_core.modeling.bindings import no_inputs
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext
from flowgram_core.temporal.call_activity import CallActivities, CallRequest
from flowgram_core.temporal.cluster import Cluster
from flowgram_core.temporal.record import split_digest

REQUEST = CallRequest(Call("a", Node("a", "code", "", {}, no_inputs), {}), ()).encode()
HEARTBEAT_TIMEOUT = 60.0
DUE = HEARTBEAT_TIMEOUT / 3


class Answering(ScriptedCalls):
    """Calls that are answered at once."""

    async def execute(self, call: Any, context: Any) -> dict[str, Any]:
        self.made.append(call.key)
        return {}


class Worker:
    """The activities of a worker, with a cluster that is asked about attempts.

    Attributes:
        asked: The task tokens that it was asked about.
        answer: What it answers; an error that it raises.
        calls: The calls.
    """

    def __init__(self, calls: ScriptedCalls | None = None, settings: RuntimeSettings | None = None) -> None:
        self.asked: list[bytes] = []
        self.answer: bool | Exception = True
        self.calls = calls or Answering()
        clock = SystemClock()
        caller = Caller(
            {"code": self.calls}, settings or RuntimeSettings(), Secrets(()), clock, FairScheduler()
        )
        self._activities = CallActivities(caller, self._awaits, clock, shows_answers=False)

    async def _awaits(self, task_token: bytes) -> bool:
        self.asked.append(task_token)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def begin(self, age: float, request: bytes = REQUEST) -> "asyncio.Task[bytes]":
        """An attempt that the cluster began so many seconds ago."""
        environment = ActivityEnvironment()
        environment.info = replace(
            environment.info,
            started_time=datetime.now(UTC) - timedelta(seconds=age),
            heartbeat_timeout=timedelta(seconds=HEARTBEAT_TIMEOUT),
        )
        return asyncio.create_task(environment.run(self._activities.call, b"", request))


async def test_a_call_that_begins_in_time_asks_nobody() -> None:
    """Until its first sign of life is due a call costs the cluster nothing."""
    worker = Worker()
    outcome = await worker.begin(DUE / 2)
    assert split_digest(outcome)[1].startswith(b'["succeeded"')
    assert (worker.calls.made, worker.asked) == (["a"], [])


@pytest.mark.parametrize("age", [DUE * 1.5, -DUE * 1.5], ids=["late", "a clock that is behind"])
async def test_a_late_call_asks_before_it_is_made(age: float) -> None:
    """It is made where the cluster waits for it."""
    worker = Worker()
    await worker.begin(age)
    assert (worker.calls.made, worker.asked) == (["a"], [b"test"])


@pytest.mark.parametrize("answer", [False, JournalUnavailable("away")], ids=["ended", "away"])
async def test_a_late_call_is_not_made_in_doubt(answer: bool | Exception) -> None:
    """Where its task has ended, or the cluster does not say, it is left to another attempt: it has no outcome."""
    worker = Worker()
    worker.answer = answer
    with pytest.raises(ApplicationError) as found:
        await worker.begin(DUE * 1.5)
    assert not found.value.non_retryable
    assert worker.calls.made == []


async def test_what_waits_for_a_slot_asks_when_it_has_one() -> None:
    """How old an attempt is counts at the moment when its call can begin, not when the activity does."""
    calls = ScriptedCalls()
    worker = Worker(calls, replace(RuntimeSettings(), max_calls=1))
    first = worker.begin(0)
    await calls.running("a")
    second = CallRequest(Call("b", Node("b", "code", "", {}, no_inputs), {}), ()).encode()
    worker.answer = False
    waiting = worker.begin(DUE * 1.5, second)
    await asyncio.sleep(0)
    assert worker.asked == []
    calls.answer("a", {})
    await first
    with pytest.raises(ApplicationError):
        await waiting
    assert calls.made == ["a"]


class Ahead(SystemClock):
    """A clock by which every call begins late."""

    def now(self) -> int:
        return super().now() + 3_600_000_000


class Tokens(ScriptedCalls):
    """Calls that keep the task tokens of their attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[bytes] = []

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        self.tokens.append(activity.info().task_token)
        return await super().execute(call, context)


async def test_a_cluster_knows_which_attempts_it_awaits(cluster: TemporalServer) -> None:
    """It awaits an attempt while that runs; not when its call has ended, or its task was canceled or terminated."""
    calls = Tokens()
    async with temporal_host(cluster.address, calls) as host, host.worker(clock=Ahead()):
        front, asked = host.front(), Cluster(host.client, "", SystemClock())
        task = await front.run(TaskRequest(call_schema("a")))
        await calls.running("a")
        assert await asked.awaits(calls.tokens[0])
        calls.answer("a", {"v": "1"})
        events = await events_of(front, task.task_id)
        assert events[-1].task_status_changed.status.status == Status.SUCCEEDED
        assert not await asked.awaits(calls.tokens[0])
        canceled = await front.run(TaskRequest(call_schema("b")))
        await calls.running("b")
        assert await front.cancel(canceled.task_id, "")
        assert not await asked.awaits(calls.tokens[1])
        terminated = await front.run(TaskRequest(call_schema("c")))
        await calls.running("c")
        await host.client.get_workflow_handle(terminated.task_id).terminate()
        assert not await asked.awaits(calls.tokens[2])
