"""The state collector: gauges that are read when somebody asks for the metrics, and cost nothing else."""

from collections.abc import Iterator
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from flowgram_core.hosting.observation import HostStatistics
from flowgram_core.modeling.status import Status
from flowgram_server.telemetry.sources import OTHER, Sources


class StateCollector(Collector):
    """Reads the state of a server.

    Args:
        sources: Where.
    """

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """The gauges as they are now."""
        sources = self._sources
        if sources.runtime is not None:
            build = GaugeMetricFamily(
                "flowgram_build_info", "Always 1; the labels say what runs.", labels=("version", "runtime")
            )
            build.add_metric((version("flowgram-server"), sources.runtime), 1)
            yield build
        if sources.host is not None:
            yield from self._of_host(sources.host())
        if sources.watches is not None:
            yield GaugeMetricFamily(
                "flowgram_watches", "Clients that watch, or wait for a task.", sources.watches()
            )
        if sources.workers is not None:
            yield GaugeMetricFamily("flowgram_code_workers", "Processes that run scripts.", sources.workers())
        if sources.ended_workers is not None:
            yield CounterMetricFamily(
                "flowgram_code_worker_restarts",
                "Processes that have ended, and are replaced when they are needed.",
                sources.ended_workers(),
            )
        if sources.serving is not None:
            yield GaugeMetricFamily(
                "flowgram_serving", "1 where tasks can be run and shown, as /readyz says.", sources.serving()
            )

    def _known(self, node_type: str) -> str:
        return node_type if node_type in self._sources.node_types else OTHER

    def _of_host(self, host: HostStatistics) -> Iterator[Metric]:
        if host.tasks:
            tasks = GaugeMetricFamily("flowgram_tasks", "Tasks that have not ended.", labels=("status",))
            for status, count in host.tasks.items():
                tasks.add_metric((Status(status).name.lower(),), count)
            yield tasks
        calls = GaugeMetricFamily(
            "flowgram_calls", "Calls of nodes that run, and that wait for a slot.", labels=("type", "state")
        )
        # Both states of each type that was called, so that nobody misses a series that is 0.
        names = {name: self._known(name) for name in (*host.running_calls, *host.waiting_calls)}
        for state, counts in (("running", host.running_calls), ("waiting", host.waiting_calls)):
            by_type = dict.fromkeys(names.values(), 0)
            for node_type, count in counts.items():
                by_type[names[node_type]] += count
            for node_type, count in by_type.items():
                calls.add_metric((node_type, state), count)
        yield calls
        if host.journal_bytes is not None:
            yield GaugeMetricFamily("flowgram_journal_bytes", "What the journal takes.", host.journal_bytes)
        if host.free_bytes is not None:
            yield GaugeMetricFamily(
                "flowgram_disk_free_bytes", "Space that is left on the journal's disk.", host.free_bytes
            )
