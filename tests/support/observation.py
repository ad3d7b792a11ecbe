"""An observer that keeps what it is notified of."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from flowgram_core.engine.events import Event, NodeStatusChanged, TaskStatusChanged


class KeepingObserver:
    """Keeps what it is notified of, as short texts in order.

    Attributes:
        recorded: `accepted`, `ended STATUS`, for each event `TASK: STATUS` or `TASK/RUN: STATUS`, and so on.
        traces: What was kept with each task that it was asked to observe.
    """

    def __init__(self) -> None:
        self.recorded: list[str] = []
        self.traces: list[str | None] = []

    def accepted(self) -> None:
        self.recorded.append("accepted")

    def ended(self, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.recorded.append(f"ended {status}")

    def trace(self) -> str:
        return "of-origin"

    @contextmanager
    def calling(self, task_id: str, call: Any, trace: str | None) -> Iterator["_KeepingCallObserver"]:
        self.recorded.append(f"{task_id}/{call.key} begins in {trace}")
        yield _KeepingCallObserver(self.recorded)

    def task(self, record: Any, document: Any, trace: str | None) -> "_KeepingTaskObserver":
        self.traces.append(trace)
        return _KeepingTaskObserver(self.recorded)


class _KeepingTaskObserver:
    def __init__(self, recorded: list[str]) -> None:
        self._recorded = recorded
        self._is_closed = False

    def committed(self, record: Any, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, NodeStatusChanged):
                self._recorded.append(f"{record.task_id}/{event.snapshot_id}: {event.status.name}")
            elif isinstance(event, TaskStatusChanged):
                self._recorded.append(f"{record.task_id}: {event.status.name}")

    @contextmanager
    def calling(self, call: Any) -> Iterator[None]:
        self._recorded.append(f"{call.key} begins")
        yield
        self._recorded.append(f"{call.key} ends")

    def closed(self) -> None:
        if not self._is_closed:
            self._recorded.append("closed")
        self._is_closed = True


class _KeepingCallObserver:
    def __init__(self, recorded: list[str]) -> None:
        self._recorded = recorded

    def ended(self, status: int) -> None:
        self._recorded.append(f"call ended {status}")
