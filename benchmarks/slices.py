"""Slices of time that two things are measured in, one after the other, so that both have the same neighbors."""

import statistics
from dataclasses import dataclass, field


@dataclass(slots=True)
class Slices:
    """What was done in the slices of one thing.

    Attributes:
        rates: What was done per second, slice by slice.
        done: How much was done in all.
        computed: Seconds of processor time that it took.
    """

    rates: list[float] = field(default_factory=list)
    done: int = 0
    computed: float = 0.0

    def add(self, count: int, seconds: float, computed: float) -> None:
        """Adds a slice."""
        self.rates.append(count / seconds)
        self.done += count
        self.computed += computed

    @property
    def rate(self) -> float:
        """What was done per second, the median."""
        return statistics.median(self.rates)

    @property
    def cost(self) -> float:
        """Milliseconds of processor time for each."""
        return self.computed / self.done * 1e3

    def over(self, other: "Slices") -> float:
        """The median of the ratios of slices that followed each other."""
        pairs = zip(self.rates, other.rates, strict=True)
        return statistics.median(this / that for this, that in pairs if that)

    def __str__(self) -> str:
        return f"{self.rate:,.0f}/s, {self.cost:.2f} ms"
