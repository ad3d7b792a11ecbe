"""An observer that keeps what it is told."""

from collections.abc import Sequence
from typing import Any

from flowgram_core.engine.events import Event, NodeStatusChanged, TaskStatusChanged


class KeepingObserver:
    """Keeps what it is told, as short texts in order.

    Attributes:
        told: `accepted`, `ended STATUS`, `called TYPE STATUS`, and for each event `TASK: STATUS` or `TASK/RUN: STATUS`.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def accepted(self) -> None:
        self.told.append("accepted")

    def ended(self, status: int, seconds: float) -> None:
        assert seconds >= 0
        self.told.append(f"ended {status}")

    def called(self, node_type: str, status: int, seconds: float) -> None:
        self.told.append(f"called {node_type} {status}")

    def task(self, record: Any, document: Any) -> "_KeepingTaskObserver":
        return _KeepingTaskObserver(self.told)


class _KeepingTaskObserver:
    def __init__(self, told: list[str]) -> None:
        self._told = told

    def committed(self, record: Any, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, NodeStatusChanged):
                self._told.append(f"{record.task_id}/{event.snapshot_id}: {event.status.name}")
            elif isinstance(event, TaskStatusChanged):
                self._told.append(f"{record.task_id}: {event.status.name}")
