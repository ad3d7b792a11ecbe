"""Telemetry as the composition of a server needs it: what is to be notified of what happens, if anything is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flowgram_core.hosting.observation import Observer
from flowgram_core.journal.writer import CommitListener
from flowgram_core.nodes.llm.usage import UsageListener
from flowgram_core.nodes.network.observation import RequestObserver
from flowgram_server.rpc.observed_calls import CallObserver
from flowgram_server.telemetry.observers import one_of
from flowgram_server.telemetry.readiness import Readiness
from flowgram_server.telemetry.sources import Sources

if TYPE_CHECKING:
    from flowgram_server.telemetry.metrics import Metrics
    from flowgram_server.telemetry.tracing import Tracing


class Telemetry:
    """What a server tells of itself. Without anything, as by default, it costs nothing.

    Args:
        metrics: What counts.
        tracing: What makes spans.

    Attributes:
        readiness: Whether the server can be given work.
    """

    def __init__(self, metrics: "Metrics | None" = None, tracing: "Tracing | None" = None) -> None:
        self.readiness = Readiness()
        self._metrics = metrics
        self._tracing = tracing

    @property
    def call_observers(self) -> list[CallObserver]:
        """Who is notified of gRPC calls. Spans come first: what others do is within them."""
        found: list[CallObserver] = []
        if self._tracing is not None:
            found.append(self._tracing.calls)
        if self._metrics is not None:
            found.append(self._metrics.calls)
        return found

    @property
    def on_usage(self) -> UsageListener | None:
        """Who is notified of the tokens that models use."""
        return None if self._metrics is None else self._metrics.models.used_tokens

    @property
    def requests(self) -> RequestObserver | None:
        """Who is notified of what nodes ask of others."""
        return None if self._tracing is None else self._tracing.requests

    @property
    def on_commit(self) -> CommitListener | None:
        """Who is notified of what the journal commits."""
        return None if self._metrics is None else self._metrics.journal.committed

    def observer(self, node_types: Iterable[str]) -> Observer | None:
        """Who is notified of what the tasks of a host with these node types do."""
        observers: list[Observer] = []
        if self._metrics is not None:
            observers.append(self._metrics.tasks(frozenset(node_types)))
        if self._tracing is not None:
            observers.append(self._tracing.tasks)
        return one_of(observers)

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
