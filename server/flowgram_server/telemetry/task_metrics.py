"""Metrics of tasks and node runs: an `Observer` of the host."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from prometheus_client import CollectorRegistry

from flowgram_core.engine.events import Event, NodeStatusChanged
from flowgram_core.engine.node_type import Call
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.document import Document
from flowgram_core.modeling.status import Status
from flowgram_server.telemetry.document_types import DocumentTypes
from flowgram_server.telemetry.sources import OTHER
from flowgram_server.telemetry.tallies import HistogramTally, TallyCollector

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
_TASK_SECONDS: Final = (*_SECONDS, 14400, 86400)
_NODE_SECONDS: Final = (0.001, *_SECONDS)

_ENDS: Final[Mapping[int, str]] = {
    int(status): status.name.lower() for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELED)
}
"""The labels of ends, by the numbers of the statuses."""


class TaskMetrics:
    """Counts what tasks do; an `Observer`.

    Args:
        registry: Where the metrics are registered.
        node_types: The node types that get labels of their own.
    """

    def __init__(self, registry: CollectorRegistry, node_types: Iterable[str]) -> None:
        self._started = 0
        self._ending = threading.Lock()  # on a worker of Temporal tasks end in several threads
        self._task_seconds = _EndTallies(_TASK_SECONDS)
        self._node_seconds = {
            node_type: _EndTallies(_NODE_SECONDS) for node_type in sorted({*node_types, OTHER})
        }
        self._other = self._node_seconds[OTHER]
        self._runs = DocumentTypes(self._runs_of)
        collector = TallyCollector()
        collector.add_counter(
            "flowgram_tasks_started", "Tasks that were accepted.", (), lambda: [((), self._started)]
        )
        collector.add_histogram(
            "flowgram_task_seconds",
            "Seconds from the acceptance of a task to its end, by how it ended.",
            ("status",),
            lambda: [((status,), tally) for status, tally in self._task_seconds.by_label()],
        )
        collector.add_histogram(
            "flowgram_node_seconds",
            "Seconds that a run of a node took, by its type and how it ended.",
            ("type", "status"),
            lambda: [
                ((node_type, status), tally)
                for node_type, tallies in self._node_seconds.items()
                for status, tally in tallies.by_label()
            ],
        )
        registry.register(collector)

    def accepted(self) -> None:
        """See `Observer`."""
        self._started += 1

    def ended(self, status: int, seconds: float) -> None:
        """See `Observer`."""
        with self._ending:
            self._task_seconds.of[status].observe(seconds)

    def trace(self) -> None:
        """See `Observer`. Metrics keep nothing with a task."""

    @contextmanager
    def calling(self, task_id: str, call: Call, trace: str | None) -> Iterator["_CallTimer"]:  # noqa: ARG002 - as `task`
        """See `Observer`."""
        began, timer = time.monotonic(), _CallTimer()
        try:
            yield timer
        finally:
            tallies = self._node_seconds.get(call.node.type, self._other)
            tallies.of[timer.status].observe(time.monotonic() - began)

    def task(self, record: TaskRecord, document: Document, trace: str | None) -> "_NodeRuns":  # noqa: ARG002 - metrics know no tasks
        """See `Observer`."""
        return self._runs.of(document)

    def _runs_of(self, types: Mapping[str, str]) -> "_NodeRuns":
        tallies = {
            node_id: self._node_seconds.get(node_type, self._other).of for node_id, node_type in types.items()
        }
        return _NodeRuns(tallies, self._other.of)


class _EndTallies:
    """Durations of runs that have ended, in seconds, by status.

    Attributes:
        of: The tally of a status, at the place of its number: as a key, a member of an enum would be hashed in Python.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.of = tuple(HistogramTally(bounds) for _ in range(max(_ENDS) + 1))

    def by_label(self) -> Iterator[tuple[str, HistogramTally]]:
        """Those of the statuses that are ends."""
        return ((label, self.of[status]) for status, label in _ENDS.items())


class _NodeRuns:
    """The node runs of all tasks of one document; nothing is kept of a task.

    Args:
        tallies: Those of each node, by statuses.
        other: Those of what is not in the document.
    """

    __slots__ = ("_other", "_tallies")

    def __init__(
        self, tallies: Mapping[str, Sequence[HistogramTally]], other: Sequence[HistogramTally]
    ) -> None:
        self._tallies = tallies
        self._other = other

    def committed(self, _: TaskRecord, events: Sequence[Event]) -> None:
        """See `TaskObserver`."""
        tallies, other = self._tallies, self._other
        for event in events:
            if isinstance(event, NodeStatusChanged) and event.end_time is not None:
                seconds = (event.at - event.start_time) / 1e6
                tallies.get(event.node_id, other)[event.status].observe(seconds)

    def calling(self, _: Call) -> AbstractContextManager[None]:
        """See `TaskObserver`. The end of the run tells all."""
        return nullcontext()

    def closed(self) -> None:
        """See `TaskObserver`."""


class _CallTimer:
    """How a call has ended."""

    def __init__(self) -> None:
        self.status: int = Status.CANCELED

    def ended(self, status: int) -> None:
        """See `CallObserver`."""
        self.status = status
