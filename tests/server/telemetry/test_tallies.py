"""Tallies give scrapers what prometheus-client's own counters and histograms would."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from flowgram_server.telemetry.tallies import HistogramTally, TallyCollector

BOUNDS = (0.001, 0.5, 1, 10)


def samples(registry: CollectorRegistry) -> list[tuple[str, dict[str, str], float]]:
    """What scrapers get, but for when each counter was made."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]


@given(st.lists(st.one_of(st.sampled_from(BOUNDS), st.floats(0, 20))))
def test_a_histogram(values: list[float]) -> None:
    """The same buckets, sum and count, also of values that lie on a bound."""
    theirs, ours, collector = CollectorRegistry(), CollectorRegistry(), TallyCollector()
    histogram = Histogram("seconds", "Seconds.", ("kind",), buckets=BOUNDS, registry=theirs).labels("a")
    tally = HistogramTally(BOUNDS)
    collector.add_histogram("seconds", "Seconds.", ("kind",), lambda: [(("a",), tally)])
    ours.register(collector)
    for value in values:
        histogram.observe(value)
        tally.observe(value)
    assert samples(ours) == samples(theirs)


def test_a_clock_that_was_set_back() -> None:
    """What took less than nothing is counted as nothing: a sum that became smaller would look like a new process."""
    tally = HistogramTally(BOUNDS)
    tally.observe(2)
    tally.observe(-5)
    assert tally.total == 2
    assert dict(tally.buckets())["0.001"] == 1
    assert dict(tally.buckets())["+Inf"] == 2


def test_a_counter() -> None:
    """Its value is read at each scrape, and its text is the same."""
    theirs, ours, collector = CollectorRegistry(), CollectorRegistry(), TallyCollector()
    counter, counts = Counter("calls", "Calls.", ("code",), registry=theirs), {"OK": 0.0}
    collector.add_counter("calls", "Calls.", ("code",), lambda: [((code,), n) for code, n in counts.items()])
    ours.register(collector)
    for number in range(3):
        counter.labels("OK").inc(number)
        counts["OK"] += number
        assert samples(ours) == samples(theirs)
    assert b'calls_total{code="OK"} 3.0\n' in generate_latest(ours)
