"""Metrics of the journal's commits."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS: Final = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_WRITES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class JournalMetrics:
    """Counts what the journal commits.

    Args:
        registry: Where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "flowgram_journal_commit_seconds",
            "Seconds that the commit of a group of writes took.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._writes = Histogram(
            "flowgram_journal_group_size",
            "Writes that were committed together.",
            buckets=_WRITES,
            registry=registry,
        )
        self._bytes = Counter(
            "flowgram_journal_written_bytes",
            "Bytes of events, inputs, schemas and results that were committed.",
            registry=registry,
        )

    def committed(self, writes: int, size: int, seconds: float) -> None:
        """A group of so many writes, of so many bytes, was committed. May be called in any thread."""
        self._seconds.observe(seconds)
        self._writes.observe(writes)
        self._bytes.inc(size)
