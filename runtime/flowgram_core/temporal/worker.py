"""The worker: runs the workflows of tasks and makes their calls, for all servers that put tasks on its task queue."""

import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker, WorkerDeploymentConfig

from flowgram_core.concurrency.clock import Clock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.concurrency.supervision import retry_delays
from flowgram_core.hosting.calls import Caller
from flowgram_core.hosting.codec import Codec
from flowgram_core.hosting.observation import Observer
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.nodes.registry import Registry
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets
from flowgram_core.temporal.call_activity import CallActivities
from flowgram_core.temporal.cluster import Cluster
from flowgram_core.temporal.settings import TemporalSettings
from flowgram_core.temporal.task_environment import TaskEnvironment, provide
from flowgram_core.temporal.task_workflow import TaskWorkflow

_log = logging.getLogger(__name__)

_WORKFLOW_THREADS: Final = 4
"""Workflow code is Python alone: more threads would only take the interpreter from each other."""
_DEFAULT_BEAT: Final = timedelta(seconds=1)
_VERSION_TIMEOUT: Final = timedelta(seconds=10)


def task_worker(
    client: Client,
    *,
    registry: Registry,
    codec: Codec,
    settings: RuntimeSettings,
    temporal: TemporalSettings,
    clock: Clock,
    fairness: FairScheduler,
    workflow_secrets: WorkflowSecrets | None = None,
    observer: Observer | None = None,
) -> Worker:
    """A worker of the settings' queue; to be entered. The client has to be connected.

    Args:
        client: Of the cluster.
        registry: The node types, opened.
        codec: Encodes events and results.
        settings: The runtime's settings; see `within_temporal`.
        temporal: The host's own settings.
        clock: Measures the time limits of calls.
        fairness: Shares the event loop between calls.
        workflow_secrets: The secrets that workflows may use.
        observer: Is notified of the tasks and calls that end here.
    """
    secrets = Secrets(settings.secret_names)
    caller = Caller(registry.executors, settings, secrets, clock, fairness, workflow_secrets)
    shows_answers = temporal.delta_interval > 0
    activities = CallActivities(
        caller,
        Cluster(client, temporal.task_queue, clock).awaits,
        clock,
        shows_answers=shows_answers,
        observer=observer,
    )
    environment = TaskEnvironment(registry.node_types, settings, codec, observer)
    throttle = timedelta(seconds=temporal.delta_interval) if shows_answers else _DEFAULT_BEAT
    deployment = None
    if temporal.build_id:
        deployment = WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(temporal.deployment, temporal.build_id),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.PINNED,
        )
    return Worker(
        client,
        task_queue=temporal.task_queue,
        workflows=[TaskWorkflow],
        activities=[activities.call, activities.record, activities.pause],
        interceptors=[provide(environment)],
        # Sandboxed, a task costs three times as much; that the core is pure is what its tests see to.
        workflow_runner=UnsandboxedWorkflowRunner(),
        workflow_task_executor=ThreadPoolExecutor(_WORKFLOW_THREADS, "workflow"),
        max_cached_workflows=temporal.max_cached_tasks,
        max_concurrent_activities=temporal.max_calls,
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=temporal.sticky_timeout),
        max_heartbeat_throttle_interval=throttle,
        default_heartbeat_throttle_interval=throttle,
        graceful_shutdown_timeout=timedelta(seconds=temporal.worker_grace),
        deployment_config=deployment,
    )


@asynccontextmanager
async def running_worker(
    client: Client, worker: Worker, temporal: TemporalSettings, clock: Clock
) -> AsyncIterator[None]:
    """Runs a worker while it is entered; on leaving, calls get the grace period to end, and go on elsewhere after it."""
    async with worker:
        if temporal.build_id and temporal.make_current:
            await make_current(client, temporal, clock)
        yield


async def make_current(client: Client, temporal: TemporalSettings, clock: Clock) -> None:
    """Makes the settings' version the current one of its deployment: new tasks go to it. A newer one stays current.

    Versions are as old as their first worker. A worker of an old version that starts again changes nothing by that.
    """
    delays = retry_delays()
    while True:
        try:
            current = await _current_or_newer(client, temporal)
            if current == temporal.build_id:
                await client.workflow_service.set_worker_deployment_current_version(
                    SetWorkerDeploymentCurrentVersionRequest(
                        namespace=client.namespace,
                        deployment_name=temporal.deployment,
                        build_id=temporal.build_id,
                        version=f"{temporal.deployment}.{temporal.build_id}",
                        ignore_missing_task_queues=True,
                    ),
                    timeout=_VERSION_TIMEOUT,
                )
                _log.info("version %s of deployment %s is current", temporal.build_id, temporal.deployment)
            if current is not None:
                return
        except RPCError as error:  # the cluster does not know the deployment before its first poll
            _log.debug("cannot make the version current yet: %s", error)
        await clock.sleep(next(delays))


async def _current_or_newer(client: Client, temporal: TemporalSettings) -> str | None:
    """The version that should be current: the settings' own, or the one that is and is newer.

    None: the cluster does not know the settings' version yet. It gets to with the first poll of a worker.
    """
    found = await client.workflow_service.describe_worker_deployment(
        DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=temporal.deployment),
        timeout=_VERSION_TIMEOUT,
    )
    info = found.worker_deployment_info
    current = info.routing_config.current_deployment_version.build_id
    created = {
        summary.deployment_version.build_id: summary.create_time.ToMicroseconds()
        for summary in info.version_summaries
    }
    if temporal.build_id not in created:
        return None
    return current if created.get(current, 0) > created[temporal.build_id] else temporal.build_id
