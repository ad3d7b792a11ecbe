"""The metrics of one server: everything that is counted, and the text that scrapers get."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from flowgram_server.telemetry.call_metrics import CallMetrics
from flowgram_server.telemetry.journal_metrics import JournalMetrics
from flowgram_server.telemetry.loop_lag import LoopLag
from flowgram_server.telemetry.model_metrics import ModelMetrics
from flowgram_server.telemetry.sources import Sources
from flowgram_server.telemetry.state_collector import StateCollector
from flowgram_server.telemetry.task_metrics import TaskMetrics

_LAG_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The metrics of one server.

    Attributes:
        calls: Of gRPC calls.
        journal: Of the journal.
        models: Of model APIs.
        lag: Of the event loop; to be started.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of all samples, which nobody looks at
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.calls = CallMetrics(self._registry)
        self.journal = JournalMetrics(self._registry)
        self.models = ModelMetrics(self._registry)
        lag = Histogram(
            "flowgram_event_loop_lag_seconds",
            "How much later than it should the event loop got to something; measured four times a second.",
            buckets=_LAG_SECONDS,
            registry=self._registry,
        )
        self.lag = LoopLag(lag.observe)

    def tasks(self, node_types: frozenset[str]) -> TaskMetrics:
        """The metrics of tasks, for a host with these node types. Once for each server."""
        return TaskMetrics(self._registry, node_types)

    def attach(self, sources: Sources) -> None:
        """Lets the state of a server be read with the metrics."""
        self._registry.register(StateCollector(sources))

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics as they are now, and their media type."""
        encode, media_type = choose_encoder(accept)
        body: bytes = encode(self._registry)
        return body, media_type
