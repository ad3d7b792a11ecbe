"""Tallies: counters and histograms of one thread, as plain numbers that are read when somebody asks for the metrics.

Those of prometheus-client take a lock for each number, and look through all buckets: two microseconds an observation, of which a
small task makes ten. Only one thread at a time may change a tally; any may read it, and finds at worst the sum of one observation less.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_INFINITY: Final = float("inf")


class HistogramTally:
    """Observations, counted by buckets.

    Args:
        bounds: The upper bounds of the buckets, ascending; one without a bound follows.

    Attributes:
        total: The sum of all that was observed.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value. Less than nothing, which a clock that was set back gives, is counted as nothing."""
        if value > 0:
            self.total += value
        self._counts[bisect_left(self._bounds, value)] += 1

    def buckets(self) -> Iterator[tuple[str, float]]:
        """How many values were at most as large as each bound, as the text format has it."""
        so_far = 0
        for bound, count in zip((*self._bounds, _INFINITY), self._counts, strict=True):
            so_far += count
            yield floatToGoString(bound), so_far  # type: ignore[no-untyped-call]  # its package declares few types


Counts = Iterable[tuple[Sequence[str], float]]
"""The values of a counter, by the values of its labels."""

Histograms = Iterable[tuple[Sequence[str], HistogramTally]]
"""The tallies of a histogram, by the values of its labels."""


class TallyCollector(Collector):
    """Gives tallies to scrapers, in the order in which they were added."""

    def __init__(self) -> None:
        self._sources: list[Callable[[], Metric]] = []

    def add_counter(self, name: str, text: str, labels: Sequence[str], read: Callable[[], Counts]) -> None:
        """Adds a counter (its name without `_total`), whose values are read at each scrape."""

        def family() -> Metric:
            counter = CounterMetricFamily(name, text, labels=labels)
            for values, count in read():
                counter.add_metric(values, count)
            return counter

        self._sources.append(family)

    def add_histogram(
        self, name: str, text: str, labels: Sequence[str], read: Callable[[], Histograms]
    ) -> None:
        """Adds a histogram, whose tallies are read at each scrape."""

        def family() -> Metric:
            histogram = HistogramMetricFamily(name, text, labels=labels)
            for values, tally in read():
                histogram.add_metric(values, buckets=[*tally.buckets()], sum_value=tally.total)
            return histogram

        self._sources.append(family)

    def collect(self) -> Iterator[Metric]:
        """All of them as they are now."""
        return (family() for family in self._sources)
