"""Metrics of gRPC calls, under the names that the interceptors of gRPC's other languages use."""

from typing import Any, Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry, Counter, Histogram

from flowgram.runtime.v1.error_reason_pb2 import ErrorReason
from flowgram_server.rpc.observed_calls import Call, CallListener, Method

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
_REASONS: Final = frozenset(name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys())  # noqa: SIM118 - it is no dict


class CallMetrics:
    """Counts calls; see `ObservedServer`. Only methods that exist are counted, so that labels are bounded.

    Args:
        registry: Where the metrics are registered.
    """

    counts_messages = True

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        self.started = counter("grpc_server_started", "Calls that have begun.", *_LABELS)
        self.handled = counter("grpc_server_handled", "Calls that have ended.", *_LABELS, "grpc_code")
        self.received = counter("grpc_server_msg_received", "Messages that calls have received.", *_LABELS)
        self.sent = counter("grpc_server_msg_sent", "Messages that calls have sent.", *_LABELS)
        self.seconds = Histogram(
            "grpc_server_handling_seconds",
            "Seconds that calls took; a watch takes as long as somebody watches.",
            _LABELS,
            buckets=_SECONDS,
            registry=registry,
        )
        self.refusals = counter(
            "flowgram_refusals", "Calls that ended with an error, by its reason.", "reason"
        )

    def listener(self, method: Method) -> CallListener:
        """What counts the calls of a method."""
        return _MethodMetrics(self, method)


class _MethodMetrics:
    """Counts the calls of one method."""

    def __init__(self, metrics: CallMetrics, method: Method) -> None:
        labels = method.type, method.service, method.name
        self._started = metrics.started.labels(*labels)
        self._seconds = metrics.seconds.labels(*labels)
        self._labels = labels
        self._metrics = metrics
        self._handled: dict[StatusCode, Counter] = {}
        self.received = metrics.received.labels(*labels).inc
        self.sent = metrics.sent.labels(*labels).inc

    def begun(self, _: Call) -> None:
        """Counts what has begun."""
        self._started.inc()

    def ended(self, call: Call, _: Any) -> None:
        """Counts what has ended."""
        code = call.code
        handled = self._handled.get(code)
        if handled is None:
            handled = self._handled[code] = self._metrics.handled.labels(*self._labels, _code(code))
        handled.inc()
        self._seconds.observe(call.seconds)
        reason = call.notes.get("reason")
        if reason is not None:
            self._metrics.refusals.labels(reason if reason in _REASONS else "other").inc()


def _code(code: StatusCode) -> str:
    """The code as other languages spell it: `NotFound`, `OK`."""
    return "OK" if code is StatusCode.OK else "".join(word.title() for word in code.name.split("_"))
