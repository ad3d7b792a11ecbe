"""Spans of tasks and of the runs of their nodes; an `Observer` of the host.

The span of a task is a child of that of the call that has started it. What is needed for that is kept with the task, so that
the trace goes on after a restart, with a new span of the task.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import context as contexts
from opentelemetry.trace import Span, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace import Status as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowgram_core.engine.events import Event, NodeStatusChanged
from flowgram_core.engine.node_type import Call
from flowgram_core.journal.interface import TaskRecord
from flowgram_core.modeling.document import Document
from flowgram_core.modeling.status import Status
from flowgram_server.telemetry.document_types import DocumentTypes

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_MAX_TRACE: Final = 1024
"""Characters of a trace that are kept with a task."""
_MAX_RUNS: Final = 1000
"""Runs of one task without a call that get spans; those that make calls get up to ten times as many."""
_MAX_ID: Final = 256
"""Characters of an attribute: ids are of any length."""


class TaskTraces:
    """Makes spans of tasks and node runs.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._types: DocumentTypes[Mapping[str, str]] = DocumentTypes(lambda types: types)

    def trace(self) -> str | None:
        """See `Observer`: the `traceparent` of the call that is handled, and its `tracestate` behind a blank."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        text = " ".join(carrier[name] for name in ("traceparent", "tracestate") if name in carrier)
        return text if 0 < len(text) <= _MAX_TRACE else carrier.get("traceparent")

    def accepted(self) -> None:
        """See `Observer`. Its events tell."""

    def ended(self, status: int, seconds: float) -> None:
        """See `Observer`. Its events tell."""

    def task(self, record: TaskRecord, document: Document, trace: str | None) -> "TaskSpans":
        """See `Observer`."""
        return TaskSpans(self._tracer, record, self._types.of(document), trace)

    @contextmanager
    def calling(self, task_id: str, call: Call, trace: str | None) -> Iterator["_CallSpan"]:
        """See `Observer`."""
        attributes = _attributes(task_id, call.node.id, call.node.type, call.key)
        span = self._tracer.start_span(
            f"node {call.node.type}", context=_parent_of(trace), attributes=attributes
        )
        token = contexts.attach(set_span_in_context(span))
        try:
            yield _CallSpan(span)
        finally:
            contexts.detach(token)
            span.end()


class _CallSpan:
    """The span of a call for a task of Temporal."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def ended(self, status: int) -> None:
        """See `CallObserver`."""
        _set_status(self._span, status)


class TaskSpans:
    """The spans of one task: its own, and those of the runs of its nodes."""

    def __init__(
        self, tracer: Tracer, record: TaskRecord, types: Mapping[str, str], trace: str | None
    ) -> None:
        self._tracer = tracer
        self._trace = trace
        self._task_id = record.task_id
        self._span: Span | None = None
        self._context = contexts.Context()
        self._types = types
        self._runs: dict[str, Span] = {}
        self._spans = 0
        self._dropped = 0
        if record.last_sequence:
            self._begin(record, is_resumed=True)

    def committed(self, record: TaskRecord, events: Sequence[Event]) -> None:
        """See `TaskObserver`."""
        span = self._span
        if span is None:
            span = self._begin(record, is_resumed=False)
        if span.is_recording():
            for event in events:
                if isinstance(event, NodeStatusChanged):
                    self._node(event)
        if record.ended:
            self._end(span, record)

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """See `TaskObserver`."""
        run = self._runs.get(call.key)
        if run is None and self._span is not None and self._span.is_recording():
            # It is made again after a restart: that its run has begun was reported before.
            run = self._begin_run(call.key, call.node.id, call.node.type, None)
        context = self._context if run is None else set_span_in_context(run, self._context)
        token = contexts.attach(context)
        try:
            yield
        finally:
            contexts.detach(token)

    def closed(self) -> None:
        """See `TaskObserver`."""
        for run in self._runs.values():
            run.end()
        self._runs.clear()
        if self._span is not None and self._span.is_recording():
            self._span.end()

    def _begin(self, record: TaskRecord, *, is_resumed: bool) -> Span:
        attributes = {"flowgram.task.id": self._task_id, "flowgram.namespace": record.namespace[:_MAX_ID]}
        self._span = self._tracer.start_span(
            "task",
            context=_parent_of(self._trace),
            attributes={**attributes, "flowgram.task.resumed": is_resumed},
            start_time=None if is_resumed else record.create_time * 1000,
        )
        self._context = set_span_in_context(self._span, contexts.Context())
        return self._span

    def _end(self, span: Span, record: TaskRecord) -> None:
        _set_status(span, record.status)
        if self._dropped:
            span.set_attribute("flowgram.task.dropped_runs", self._dropped)
        span.end(None if record.end_time is None else record.end_time * 1000)

    def _node(self, event: NodeStatusChanged) -> None:
        run = self._runs.pop(event.snapshot_id, None)
        if run is None:
            makes_call = event.end_time is None
            if self._spans >= (_MAX_RUNS * 10 if makes_call else _MAX_RUNS):
                self._dropped += 1
                return
            node_type = self._types.get(event.node_id, "")
            run = self._begin_run(event.snapshot_id, event.node_id, node_type, event.start_time * 1000)
        if event.end_time is None:
            self._runs[event.snapshot_id] = run
            return
        self._runs.pop(event.snapshot_id, None)
        _set_status(run, event.status)
        run.end(event.end_time * 1000)

    def _begin_run(self, key: str, node_id: str, node_type: str, start: int | None) -> Span:
        self._spans += 1
        run = self._runs[key] = self._tracer.start_span(
            f"node {node_type}",
            context=self._context,
            attributes=_attributes(self._task_id, node_id, node_type, key),
            start_time=start,
        )
        return run


def _attributes(task_id: str, node_id: str, node_type: str, key: str) -> dict[str, str]:
    return {
        "flowgram.task.id": task_id,
        "flowgram.node.id": node_id[:_MAX_ID],
        "flowgram.node.type": node_type,
        "flowgram.run.id": key[:_MAX_ID],
    }


def _parent_of(trace: str | None) -> contexts.Context:
    """The context that was kept as a text."""
    parent, _, state = (trace or "").partition(" ")
    return _PROPAGATOR.extract({"traceparent": parent, "tracestate": state}, contexts.Context())


def _set_status(span: Span, status: int) -> None:
    name = Status(status).name.lower()
    span.set_attribute("flowgram.status", name)
    if status == Status.FAILED:
        span.set_attribute("error.type", "failed")  # why is content, and stays out of traces
        span.set_status(SpanStatus(StatusCode.ERROR))
