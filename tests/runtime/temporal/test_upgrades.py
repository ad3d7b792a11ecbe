"""Workers of two versions: tasks stay on the one that they began on, and long ones move on with a new run."""

import asyncio
import json
from typing import Any

from support.fakes import ScriptedCalls
from support.temporal_histories import loop
from support.temporal_host import TemporalHost, events_of, temporal_host
from support.temporal_server import TemporalServer
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.service import TaskRequest
from flowgram_core.modeling.status import Status
from flowgram_core.nodes.executor import CallContext
from flowgram_core.temporal.settings import TemporalSettings
from flowgram_core.temporal.worker import make_current


class HeldCalls(ScriptedCalls):
    """Calls that wait until all are released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()
        self._more = asyncio.Condition()

    async def execute(self, call: Call, context: CallContext) -> dict[str, Any]:
        async with self._more:
            self.made.append(call.key)
            self._more.notify_all()
        await self.released.wait()
        return {"v": "x"}

    async def waiting(self, count: int) -> None:
        """Returns once so many have been made."""
        async with self._more:
            await self._more.wait_for(lambda: len(self.made) >= count)


class Impatient(SystemClock):
    """Waits for no more than a moment."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.1))


async def version_of(host: TemporalHost, task_id: str) -> str:
    """The build id on which the newest run of a task is."""
    described = (await host.client.get_workflow_handle(task_id).describe()).raw_description
    return described.workflow_execution_info.versioning_info.deployment_version.build_id


async def use(host: TemporalHost, build_id: str) -> None:
    """Makes a version the current one, as a worker does; one that is older than the current one it leaves as it is."""
    settings = TemporalSettings(
        **{name: getattr(host.temporal, name) for name in ("task_queue", "deployment")}, build_id=build_id
    )
    await make_current(host.client, settings, Impatient())


async def is_used(host: TemporalHost, build_id: str) -> None:
    """Returns once the queues give what is new to a version: they get to know it after their cluster does."""
    for kind in (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY):
        request = DescribeTaskQueueRequest(
            namespace=host.client.namespace,
            task_queue=TaskQueue(name=host.temporal.task_queue),
            task_queue_type=kind,
        )
        while True:
            described = await host.client.workflow_service.describe_task_queue(request)
            if described.versioning_info.current_deployment_version.build_id == build_id:
                break
            await asyncio.sleep(0.1)


async def test_tasks_stay_on_their_version(cluster: TemporalServer) -> None:
    """The old one ends where it began, new ones begin on the new version, and an old worker does not take them back."""
    calls = HeldCalls()
    async with temporal_host(cluster.address, calls, deployment="stay") as host:
        front = host.front()
        items = json.dumps({"items": [5]})
        async with host.worker(build_id="v1"):
            await use(host, "v1")
            await is_used(host, "v1")
            becoming_current = asyncio.create_task(use(host, "v2"))  # before the cluster knows of it
            old = await front.run(TaskRequest(loop(), items))
            await calls.waiting(1)
            async with host.worker(build_id="v2"):
                await becoming_current
                await is_used(host, "v2")
                new = await front.run(TaskRequest(loop(), items))
                await calls.waiting(2)
                await use(host, "v1")  # it is older, and stays that
                third = await front.run(TaskRequest(loop(), items))
                await calls.waiting(3)
                calls.released.set()
                for task in (old, new, third):
                    assert (await front.wait(task.task_id)).status == Status.SUCCEEDED
                versions = [await version_of(host, task.task_id) for task in (old, new, third)]
        assert versions == ["v1", "v2", "v2"]


async def test_a_long_task_moves_on(cluster: TemporalServer) -> None:
    """A task that goes on in a new run does so on the current version, from the snapshot that the old one has made."""
    calls = HeldCalls()
    async with temporal_host(cluster.address, calls, deployment="move", history_events=50) as host:
        front = host.front()
        async with host.worker(build_id="v1"):
            await use(host, "v1")
            await is_used(host, "v1")
            task = await front.run(TaskRequest(loop(), json.dumps({"items": [5] * 40})))
            await calls.waiting(1)
            async with host.worker(build_id="v2"):
                await use(host, "v2")
                await is_used(host, "v2")
                calls.released.set()
                events = await events_of(front, task.task_id)
                assert await version_of(host, task.task_id) == "v2"
        assert events[-1].task_status_changed.status.status == Status.SUCCEEDED
        assert calls.made == [f"loop_0[{index}]/code_0" for index in range(40)]
