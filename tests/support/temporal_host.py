"""The Temporal host in the test's own process: servers' fronts and workers around a cluster, with calls that the test answers."""

import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from temporalio.client import Client

from flowgram.runtime.v1.event_pb2 import TaskEvent
from flowgram.runtime.v1.runtime_service_pb2 import WatchTaskResponse
from flowgram_core.concurrency.clock import Clock, SystemClock
from flowgram_core.concurrency.fairness import FairScheduler
from flowgram_core.engine.node_type import NodeType
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.hosting.settings import RuntimeSettings
from flowgram_core.journal.interface import Batch
from flowgram_core.nodes.registry import Registry, pure_node_types
from flowgram_core.temporal.application import TemporalApplication
from flowgram_core.temporal.cluster import Cluster
from flowgram_core.temporal.connection import connect
from flowgram_core.temporal.payload_codec import data_converter
from flowgram_core.temporal.readiness import ensure_attributes
from flowgram_core.temporal.settings import TemporalSettings, within_temporal
from flowgram_core.temporal.worker import task_worker
from flowgram_server.rpc.codec import Codec
from flowgram_server.task_ids import TaskIDs

KEYS = {"first": "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="}


@dataclass
class TemporalHost:
    """A cluster, as servers and workers of one task queue see it.

    Attributes:
        client: A client of the cluster.
        temporal: The settings of what is opened here.
        settings: Those of the runtime.
        node_types: The node types besides the pure ones.
    """

    client: Client
    temporal: TemporalSettings
    settings: RuntimeSettings
    node_types: tuple[NodeType, ...]
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def registry(self) -> Registry:
        return Registry((*pure_node_types(), *self.node_types))

    def front(self, client: Client | None = None) -> TemporalApplication:
        """Another server."""
        clock = SystemClock()
        return TemporalApplication(
            cluster=Cluster(client or self.client, self.temporal.task_queue, clock),
            codec=Codec(Secrets(self.settings.secret_names)),
            registry=self.registry,
            settings=self.settings,
            temporal=self.temporal,
            clock=clock,
            new_task_id=TaskIDs(clock),
        )

    @asynccontextmanager
    async def worker(
        self, codec: Codec | None = None, clock: Clock | None = None, **changes: Any
    ) -> AsyncIterator[None]:
        """A worker, with these settings changed."""
        worker = task_worker(
            self.client,
            registry=self.registry,
            codec=codec or Codec(Secrets(self.settings.secret_names)),
            settings=self.settings,
            temporal=replace(self.temporal, **changes),
            clock=clock or SystemClock(),
            fairness=FairScheduler(),
        )
        async with worker:
            yield


@asynccontextmanager
async def temporal_host(
    address: str,
    *node_types: NodeType,
    settings: RuntimeSettings | None = None,
    **temporal: Any,
) -> AsyncIterator[TemporalHost]:
    """A host on a task queue of its own; no worker is running yet."""
    given: dict[str, Any] = {
        "address": address,
        "namespace": "default",
        "task_queue": f"test-{uuid.uuid4().hex}",
        "encryption_keys": KEYS,
        "worker_grace": 0.0,
    }
    wanted = TemporalSettings(**(given | temporal))
    converter = data_converter(wanted.encryption_keys, unencrypted=wanted.unencrypted)
    client = await connect(wanted, converter, lazy=False)
    await ensure_attributes(client)
    yield TemporalHost(client, wanted, within_temporal(settings or RuntimeSettings()), node_types)


async def events_of(application: TemporalApplication, task_id: str, after: int = 0) -> list[TaskEvent]:
    """All events of a task after one, watched until it ends; without a gap."""
    events: list[TaskEvent] = []
    async for item in application.watch(task_id, after):
        if isinstance(item, Batch):
            events += (
                event for event in WatchTaskResponse.FromString(item.events).events if event.sequence > after
            )
    assert [event.sequence for event in events] == list(range(after + 1, after + len(events) + 1))
    return events


def texts(events: Iterable[TaskEvent]) -> list[str]:
    """The texts of the messages among events."""
    return [event.message.text for event in events if event.HasField("message")]
