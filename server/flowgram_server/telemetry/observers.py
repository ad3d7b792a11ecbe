"""Several observers of a host as one."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from flowgram_core.engine.events import Event
from flowgram_core.engine.node_type import Call
from flowgram_core.hosting.observation import CallObserver, Observer, TaskObserver
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.document import Document


def one_of(observers: Sequence[Observer]) -> Observer | None:
    """An observer that tells all of these; None if there are none."""
    if len(observers) < 2:
        return observers[0] if observers else None
    return _Observers(observers)


class _Observers:
    """See `Observer`."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = observers

    def trace(self) -> str | None:
        traces = (observer.trace() for observer in self._observers)
        return next((trace for trace in traces if trace is not None), None)

    def accepted(self) -> None:
        for observer in self._observers:
            observer.accepted()

    def ended(self, status: int, seconds: float) -> None:
        for observer in self._observers:
            observer.ended(status, seconds)

    def task(self, record: TaskRecord, document: Document, trace: str | None) -> "_TaskObservers":
        return _TaskObservers([observer.task(record, document, trace) for observer in self._observers])

    @contextmanager
    def calling(self, task_id: str, call: Call, trace: str | None) -> Iterator["_CallObservers"]:
        with ExitStack() as stack:
            entered = [
                stack.enter_context(observer.calling(task_id, call, trace)) for observer in self._observers
            ]
            yield _CallObservers(entered)


class _TaskObservers:
    """See `TaskObserver`."""

    def __init__(self, observers: Sequence[TaskObserver]) -> None:
        self._observers = observers

    def committed(self, record: TaskRecord, events: Sequence[Event]) -> None:
        for observer in self._observers:
            observer.committed(record, events)

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.calling(call))
            yield

    def closed(self) -> None:
        for observer in self._observers:
            observer.closed()


class _CallObservers:
    """See `CallObserver`."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = observers

    def ended(self, status: int) -> None:
        for observer in self._observers:
            observer.ended(status)
