"""Metrics of the journal's commits."""

from typing import Final

from prometheus_client import CollectorRegistry

from flowgram_server.telemetry.tallies import HistogramTally, TallyCollector

_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_WRITES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class JournalMetrics:
    """Counts what the journal commits.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = HistogramTally(_SECONDS)
        self._writes = HistogramTally(_WRITES)
        self._bytes = 0
        collector = TallyCollector()
        collector.add_histogram(
            "flowgram_journal_commit_seconds",
            "Seconds that the commit of a group of writes took.",
            (),
            lambda: [((), self._seconds)],
        )
        collector.add_histogram(
            "flowgram_journal_group_size",
            "Writes that were committed together.",
            (),
            lambda: [((), self._writes)],
        )
        collector.add_counter(
            "flowgram_journal_written_bytes",
            "Bytes of events, inputs, schemas and results that were committed.",
            (),
            lambda: [((), self._bytes)],
        )
        registry.register(collector)

    def committed(self, writes: int, size: int, seconds: float) -> None:
        """A group of so many writes, of so many bytes, was committed. Called in the thread of the writer alone."""
        self._seconds.observe(seconds)
        self._writes.observe(writes)
        self._bytes += size
