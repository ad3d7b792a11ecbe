"""What a task costs a cluster: requests, reads of its store, and events of its history. Rates depend on the machine, these do not."""

import asyncio
from collections import Counter
from typing import Any

from support.applications import call_schema, echo_schema
from support.fakes import ScriptedCalls
from support.temporal_host import TemporalHost, temporal_host
from support.temporal_server import TemporalServer
from temporalio.api.workflowservice.v1 import GetClusterInfoRequest

from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext

TASKS = 5
ON_THEIR_OWN = {
    "CountWorkflowExecutions",  # for admission: once in a second, however many tasks begin
    "DescribeNamespace",
    "GetClusterInfo",  # by this test
    "GetSystemInfo",
    "PollActivityTaskQueue",
    "PollWorkflowTaskQueue",
    "RecordWorkerHeartbeat",
}
"""Requests that are made however many tasks there are, or that wait for tasks until some are there."""


class Answering(ScriptedCalls):
    """Calls that are answered at once."""

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        return {"v": "at once"}


async def costs(
    cluster: TemporalServer, host: TemporalHost, request: TaskRequest
) -> tuple[Counter[str], int, int]:
    """The requests that some tasks take, how often their newest run is looked up, and how long the history of one is."""

    async def counted() -> tuple[Counter[str], int]:
        for _ in range(2):  # the counters are brought up to date one after the other
            await until_counted(cluster, host)
        requests = cluster.counted("service_requests", service_name="frontend")
        reads = cluster.counted("persistence_requests", service_name="history")
        return requests, reads["GetCurrentExecution"]

    front = host.front()
    front.eager = True
    await front.wait((await front.run(request)).task_id)
    before, looked_up_before = await counted()
    for _ in range(TASKS):
        task = await front.run(request)
        assert (await front.wait(task.task_id)).status == Status.SUCCEEDED
    after, looked_up = await counted()
    history = await host.client.get_workflow_handle(task.task_id).fetch_history()
    made = after - before
    return (
        Counter({name: count for name, count in made.items() if name not in ON_THEIR_OWN}),
        looked_up - looked_up_before,
        len(history.events),
    )


async def until_counted(cluster: TemporalServer, host: TemporalHost) -> None:
    """Returns when the server's counters know of a request that is made here, and so of all before it."""

    def known() -> int:
        return cluster.counted("service_requests", service_name="frontend")["GetClusterInfo"]

    before = known()
    await host.client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    while known() == before:  # noqa: ASYNC110 - the server tells nobody
        await asyncio.sleep(0.2)


async def test_a_task_without_calls(cluster: TemporalServer) -> None:
    """It costs what an empty workflow costs: its start, the one step of its code, and one long poll for its end."""
    async with temporal_host(cluster.address) as host, host.worker():
        requests, looked_up, events = await costs(cluster, host, TaskRequest(echo_schema(), '{"x": 1}'))
        assert requests == {
            "StartWorkflowExecution": TASKS,
            "RespondWorkflowTaskCompleted": TASKS,
            "PollWorkflowExecutionHistory": TASKS,
        }
        assert looked_up == 0
        assert events == 5


async def test_a_task_with_a_call(cluster: TemporalServer) -> None:
    """One answer of an activity and one step more; the record of the step before it is in no event of its own."""
    async with temporal_host(cluster.address, Answering()) as host, host.worker():
        requests, looked_up, events = await costs(cluster, host, TaskRequest(call_schema("a"), "{}"))
        assert requests == {
            "StartWorkflowExecution": TASKS,
            "RespondWorkflowTaskCompleted": 2 * TASKS,
            "RespondActivityTaskCompleted": TASKS,
            "PollWorkflowExecutionHistory": TASKS,
        }
        assert looked_up == 0
        assert events == 5 + 6 + 1  # of the empty workflow, the call, and the timer of the task's time-out
