"""The memory of one task: an estimate of what it holds alive, kept while it runs.

What is allocated only adds to the estimate (`Meter.allocated`). When that has about doubled, what is alive is measured: the
inputs, the variables of all frames, what loops have collected, and what calls were given. Parts that are shared count once.
So measuring costs no more than the allocating did, and both follow from the task alone: a replay comes to the same numbers.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from flowgram_core.engine.frame import Frame
from flowgram_core.engine.node_runs import COLLECTED_BYTES, NodeRun
from flowgram_core.engine.plan import VARIABLE_BYTES
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import memory_of

_SLACK: Final = 8 * 1024 * 1024
"""Bytes that may be allocated before anything is measured."""
_LARGE: Final = 1024 * 1024
_MAX_PARTS: Final = 5000
"""So many parts of a call's outputs are counted at once. Larger ones have everything measured, where that may take its time."""


class TaskMemory:
    """Estimates how many bytes of memory a task holds.

    Args:
        meter: Counts what the task allocates.
        limit: So many bytes it may hold.

    Attributes:
        threshold: Once so many bytes were allocated, it is to be measured.
    """

    __slots__ = ("_limit", "_measured", "_meter", "threshold")

    def __init__(self, meter: Meter, limit: int) -> None:
        self._meter = meter
        self._limit = limit
        self._measured = 0
        self.threshold = self._next_threshold()

    @property
    def held(self) -> int:
        """How much that is, at most: what was alive when it was measured, and all that was allocated since."""
        return self._measured + self._meter.allocated

    @property
    def is_large(self) -> bool:
        """Whether it is too much to be freed in one go."""
        return self.held >= _LARGE

    @property
    def is_due(self) -> bool:
        """Whether it is to be measured before the task goes on."""
        return self._meter.allocated >= self.threshold

    def add_value(self, value: Any) -> None:
        """Counts a value that came from outside."""
        self._meter.allocated += memory_of((value,), _SLACK, Meter(), _MAX_PARTS)

    def measure(self, roots: Iterable[Any], overhead: int) -> bool:
        """Measures what is alive.

        Args:
            roots: All values that the task can still get at.
            overhead: Bytes that are not those of values.

        Returns:
            Whether it is within the limit.

        Raises:
            WorkSuspended: It takes longer than it may where it runs. Nothing has changed.
        """
        found = overhead + memory_of(roots, self._limit, self._meter)
        self._measured, self._meter.allocated = found, 0
        self.threshold = self._next_threshold()
        return found <= self._limit

    def remains(
        self, root: Frame | None, frames: Iterable[Frame], runs: Iterable[NodeRun], *values: Any
    ) -> list[Any]:
        """If it is large: the dicts and lists in which frames, those around them, and node runs hold their values; and these values."""
        if not self.is_large:
            return []
        around = [*_with_outer(frames if root is None else (root, *frames))]
        found: list[Any] = [
            *(frame.task_inputs for frame in around[:1]),
            *(frame.variables for frame in around),
        ]
        for run in runs:
            if run.call is not None:
                found.append(run.call.inputs)
            if run.loop is not None:
                progress = run.loop.progress
                found += (progress.items, progress.collected)
        return found + [value for value in values if value]

    def _next_threshold(self) -> int:
        """Not before as much was allocated as is alive; earlier near the limit, but never for little."""
        room = max(self._limit - self._measured, self._limit // 8, 1)
        return min(max(self._measured, _SLACK), room)


def values_of(frames: Iterable[Frame], runs: Iterable[NodeRun]) -> tuple[list[Any], int]:
    """What frames, those around them, and node runs hold: the values, and the bytes of what is around these."""
    values: list[Any] = []
    overhead = 0
    for frame in _with_outer(frames):
        for variables in frame.variables.values():
            overhead += VARIABLE_BYTES * len(variables)
            values += [variable.value for variable in variables.values()]
    for run in runs:
        if run.call is not None:
            values.append(run.call.inputs)
        if run.loop is not None:
            progress = run.loop.progress
            values.append(progress.items)
            for collected in progress.collected.values():
                overhead += COLLECTED_BYTES * len(collected)
                values += [found.value for found in collected if found is not None]
    return values, overhead


def _with_outer(frames: Iterable[Frame]) -> Iterator[Frame]:
    seen: set[int] = set()
    for each in frames:
        frame: Frame | None = each
        while frame is not None and id(frame) not in seen:
            seen.add(id(frame))
            yield frame
            frame = frame.parent
