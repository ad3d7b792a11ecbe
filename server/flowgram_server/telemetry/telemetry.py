"""Telemetry as the composition of a server needs it: what is to be told of what happens, if anything is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from flowgram_core.hosting.observation import Observer
from flowgram_core.journal.writer import CommitListener
from flowgram_core.nodes.llm.usage import UsageListener
from flowgram_server.rpc.observed_calls import CallObserver
from flowgram_server.telemetry.readiness import Readiness
from flowgram_server.telemetry.sources import Sources

if TYPE_CHECKING:
    from flowgram_server.telemetry.endpoint import Exposition
    from flowgram_server.telemetry.metrics import Metrics


class Telemetry:
    """What a server tells of itself. Without anything, as by default, it costs nothing.

    Args:
        metrics: What counts.

    Attributes:
        readiness: Whether the server can be given work.
    """

    def __init__(self, metrics: "Metrics | None" = None) -> None:
        self.readiness = Readiness()
        self._metrics = metrics

    @classmethod
    def with_metrics(cls, *, wanted: bool) -> Self:
        """Telemetry with metrics, or without; the library for metrics is imported only then."""
        if not wanted:
            return cls()
        from flowgram_server.telemetry.metrics import Metrics  # noqa: PLC0415 - costs a server without them nothing

        return cls(Metrics())

    @property
    def exposition(self) -> "Exposition | None":
        """Gives the metrics to scrapers."""
        return None if self._metrics is None else self._metrics.exposition

    @property
    def call_observers(self) -> list[CallObserver]:
        """Who is told of gRPC calls."""
        return [] if self._metrics is None else [self._metrics.calls]

    @property
    def on_usage(self) -> UsageListener | None:
        """Who is told of the tokens that models use."""
        return None if self._metrics is None else self._metrics.models.used_tokens

    @property
    def on_commit(self) -> CommitListener | None:
        """Who is told of what the journal commits."""
        return None if self._metrics is None else self._metrics.journal.committed

    def observer(self, node_types: Iterable[str]) -> Observer | None:
        """Who is told of what the tasks of a host with these node types do."""
        return None if self._metrics is None else self._metrics.tasks(frozenset(node_types))

    def attach(self, sources: Sources) -> None:
        """Lets the state of a server be read."""
        if self._metrics is not None:
            self._metrics.attach(sources)

    @contextmanager
    def measuring(self) -> Iterator[None]:
        """Measures the running event loop while the block lasts."""
        if self._metrics is None:
            yield
            return
        self._metrics.lag.start()
        try:
            yield
        finally:
            self._metrics.lag.stop()
