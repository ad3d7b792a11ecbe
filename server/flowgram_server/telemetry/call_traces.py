"""Spans of gRPC calls: one each, a child of the caller's where it sent a `traceparent`. Named as OpenTelemetry's conventions say."""

from typing import Final

from grpc import StatusCode
from opentelemetry import context as contexts
from opentelemetry.trace import Span, SpanKind, Status, Tracer, set_span_in_context
from opentelemetry.trace import StatusCode as SpanStatus
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowgram_server.rpc.observed_calls import Call, CallListener, Method

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_HEADERS: Final = frozenset({"traceparent", "tracestate"})
_UNTRACED: Final = ("grpc.health.", "grpc.reflection.")
"""Services that orchestrators and tools ask, again and again."""

_SERVER_ERRORS: Final = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
"""What the conventions count as the server's fault."""


class CallTraces:
    """Makes a span of each call; see `ObservedServer`.

    Args:
        tracer: Makes the spans.
    """

    counts_messages = False

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def listener(self, method: Method) -> CallListener | None:
        """What makes the spans of a method."""
        return None if method.service.startswith(_UNTRACED) else _Traced(self._tracer, method)


class _Traced:
    """The spans of one method."""

    def __init__(self, tracer: Tracer, method: Method) -> None:
        self._tracer = tracer
        self._name = method.path.removeprefix("/")
        self._attributes = {
            "rpc.system": "grpc",
            "rpc.service": method.service,
            "rpc.method": method.name,
        }

    def begun(self, call: Call) -> Span:
        """Begins a span, which is the current one in all that the call does. Each call has a context of its own."""
        carrier = {
            key: value
            for key, value in call.context.invocation_metadata() or ()
            if key in _HEADERS and isinstance(value, str)
        }
        span = self._tracer.start_span(
            self._name,
            context=_PROPAGATOR.extract(carrier, contexts.Context()),
            kind=SpanKind.SERVER,
            attributes=self._attributes,
        )
        contexts.attach(set_span_in_context(span))
        return span

    def ended(self, call: Call, span: Span) -> None:
        """Ends it."""
        if span.is_recording():
            span.set_attribute("rpc.grpc.status_code", call.code.value[0])
            reason, task_id = call.notes.get("reason"), call.notes.get("task_id")
            if reason is not None:
                span.set_attribute("error.type", reason)
            if task_id is not None:
                span.set_attribute("flowgram.task.id", task_id)
            if call.code in _SERVER_ERRORS:
                span.set_status(Status(SpanStatus.ERROR))
        span.end()

    def received(self) -> None:
        """Not of interest."""

    def sent(self) -> None:
        """Not of interest."""
