"""The composition of the Temporal host: a server's front, its worker if it has one, and workers of their own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import structlog
from temporalio.client import Client
from temporalio.converter import DataConverter

from flowgram_core import IS_COMPILED
from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.concurrency.supervision import run_forever
from flowgram_core.hosting.observation import Observer
from flowgram_core.hosting.service import TaskService
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.node_settings import EgressSettings
from flowgram_core.temporal.application import TemporalApplication
from flowgram_core.temporal.cluster import Cluster
from flowgram_core.temporal.connection import cluster_address, connect, connect_in_time
from flowgram_core.temporal.payload_codec import data_converter
from flowgram_core.temporal.readiness import Finding, check, ensure_attributes
from flowgram_core.temporal.settings import TemporalSettings
from flowgram_core.temporal.worker import running_worker, task_worker
from flowgram_server.address import host_and_port, is_loopback
from flowgram_server.host_parts import HostParts
from flowgram_server.node_types import sources_of
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals
from flowgram_server.task_ids import TaskIDs
from flowgram_server.telemetry.telemetry import Telemetry

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_temporal(parts: HostParts) -> AsyncIterator[TaskService]:
    """A server's side of a cluster. It serves though the cluster is away, and says so to every caller.

    Raises:
        TemporalError: The settings cannot be used.
    """
    settings, registry, clock = parts.settings, parts.registry, parts.clock
    temporal = settings.temporal_settings()
    converter = _converter(temporal)
    observer = parts.telemetry.observer(registry.names)
    cluster = Cluster(await connect(temporal, converter), temporal.task_queue, clock)
    application = TemporalApplication(
        cluster=cluster,
        codec=parts.codec(),
        registry=registry,
        settings=settings.runtime_settings(),
        temporal=temporal,
        clock=clock,
        new_task_id=TaskIDs(clock),
        fairness=parts.fairness,
        observer=observer,
    )
    parts.telemetry.attach(sources_of(registry, application))
    async with registry.opened() if settings.with_worker else nullcontext(), application.opened():
        stopping = asyncio.Event()

        async def work() -> None:
            client = await connect_in_time(temporal, converter, clock)
            cluster.use(client)
            for finding in await ensure_attributes(client):
                _tell(finding)
            if settings.with_worker and not stopping.is_set():
                async with _running_worker(client, parts, observer):
                    application.eager = True
                    await stopping.wait()
                    application.eager = False

        working = asyncio.create_task(run_forever("temporal", work, clock), name="temporal")
        try:
            yield application
        finally:
            stopping.set()
            await _end(working, temporal.worker_grace if settings.with_worker else 0)


async def work(settings: Settings, stops: StopSignals, telemetry: Telemetry | None = None) -> None:
    """Is a worker until it is asked to stop. Raises as `open_host` does."""
    temporal = settings.temporal_settings()
    parts = HostParts.of(
        settings, SystemClock(), _egress(settings, temporal), _configured_ports(settings), telemetry
    )
    registry, telemetry = parts.registry, parts.telemetry
    converter = _converter(temporal)
    telemetry.attach(sources_of(registry, None))
    async with registry.opened():
        waiting = asyncio.create_task(connect_in_time(temporal, converter, parts.clock))
        stopping = asyncio.create_task(stops.first.wait())
        try:
            await asyncio.wait((waiting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stops.first.is_set():
                return
            client = await waiting
        finally:
            waiting.cancel()
            stopping.cancel()
        async with _running_worker(client, parts, telemetry.observer(registry.names)):
            telemetry.readiness.set(None)
            _log.info(
                "working",
                task_queue=temporal.task_queue,
                namespace=client.namespace,
                build_id=temporal.build_id or None,
                compiled=IS_COMPILED,
            )
            await stops.first.wait()
            telemetry.readiness.drain()
            _log.info("draining", grace=temporal.worker_grace)
    _log.info("stopped")


def _egress(settings: Settings, temporal: TemporalSettings) -> EgressSettings:
    """Of a worker: its tasks come from wherever the cluster is reached from. Raises `TemporalError`."""
    return settings.egress_settings(is_exposed=not is_loopback(cluster_address(temporal)))


def _configured_ports(settings: Settings) -> OwnPorts:
    """Of a worker, beside which a server with the same settings may run."""
    listens = settings.listen, settings.http_listen, settings.metrics_listen
    return OwnPorts(host_and_port(listen)[1] for listen in listens if listen)


async def check_cluster(settings: Settings) -> list[Finding]:
    """Looks at everything that tasks need of the cluster. Raises `TemporalError` where the settings cannot be used."""
    temporal = settings.temporal_settings()
    client = await connect(temporal, _converter(temporal))
    return await check(client, settings.runtime_settings(), temporal)


def _converter(temporal: TemporalSettings) -> DataConverter:
    return data_converter(temporal.encryption_keys, unencrypted=temporal.unencrypted)


@asynccontextmanager
async def _running_worker(client: Client, parts: HostParts, observer: Observer | None) -> AsyncIterator[None]:
    temporal = parts.settings.temporal_settings()
    worker = task_worker(
        client,
        registry=parts.registry,
        codec=parts.codec(),
        settings=parts.settings.runtime_settings(),
        temporal=temporal,
        clock=parts.clock,
        fairness=parts.fairness,
        workflow_secrets=parts.secrets,
        observer=observer,
    )
    async with running_worker(client, worker, temporal, parts.clock):
        yield


def _tell(finding: Finding) -> None:
    if not finding.ok:
        _log.warning(finding.text, remedy=finding.remedy)


async def _end(working: asyncio.Task[None], grace: float) -> None:
    """Lets the worker stop by itself, and ends what does not."""
    await asyncio.wait((working,), timeout=grace + 1 if grace else 0)
    working.cancel()
    await asyncio.wait((working,))
