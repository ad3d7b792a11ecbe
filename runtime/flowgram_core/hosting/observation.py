"""Observers: the interface by which metrics and traces follow the tasks and calls of a host.

Observers are notified of what is durable, and never of a replay. Their methods must be quick, and must not raise. They are called
on the event loop; on a worker of Temporal `ended` comes from the threads of workflows. A host without an observer does nothing for it.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from flowgram_core.engine.events import Event
from flowgram_core.engine.node_type import Call
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.document import Document


class TaskObserver(Protocol):
    """Is notified of what one task does, for as long as it is active in this process."""

    def committed(self, record: TaskRecord, events: Sequence[Event]) -> None:
        """Events have become durable.

        Args:
            record: The task after them.
            events: In order; the first one of a task has the sequence 1.
        """
        ...

    def calling(self, call: Call) -> AbstractContextManager[None]:
        """Entered in the asyncio task that makes a call, for as long as it is made."""
        ...

    def closed(self) -> None:
        """The task is no longer active here: it has ended, or goes on after a restart. May come more than once."""
        ...


class CallObserver(Protocol):
    """Is notified of one call for a task of Temporal."""

    def ended(self, status: int) -> None:
        """The node of the call has this status now. Without it, the call was canceled."""
        ...


class Observer(Protocol):
    """Is notified of what a host does."""

    def trace(self) -> str | None:
        """What is kept with a task that is accepted now, and is given back with it wherever it goes on; None: nothing."""
        ...

    def accepted(self) -> None:
        """A task was accepted, and is durable."""
        ...

    def ended(self, status: int, seconds: float) -> None:
        """A task has ended, so many seconds after it was accepted."""
        ...

    def task(self, record: TaskRecord, document: Document, trace: str | None) -> TaskObserver:
        """The observer of a task that is about to be accepted, or was rebuilt after a restart."""
        ...

    def calling(self, task_id: str, call: Call, trace: str | None) -> AbstractContextManager[CallObserver]:
        """Entered while a call is made for a task of Temporal."""
        ...


class HostStatistics(NamedTuple):
    """What a host does at the moment. What it does not know is None, or missing.

    Attributes:
        tasks: Active tasks by status: those that wait, and those that run.
        running_calls: Calls that are being made, by node type.
        waiting_calls: Calls that wait for a slot, by node type.
        journal_bytes: What the journal takes.
        free_bytes: Space that is left on its disk.
    """

    tasks: Mapping[int, int] = {}
    running_calls: Mapping[str, int] = {}
    waiting_calls: Mapping[str, int] = {}
    journal_bytes: int | None = None
    free_bytes: int | None = None
