"""Metrics of gRPC calls, under the names that the interceptors of gRPC's other languages use."""

from collections import Counter
from typing import Any, Final

from grpc import StatusCode
from prometheus_client import CollectorRegistry

from flowgram.runtime.v1.error_reason_pb2 import ErrorReason
from flowgram_server.auth.errors import AuthFailure
from flowgram_server.rpc.observed_calls import Call, CallListener, Method
from flowgram_server.telemetry.tallies import Counts, HistogramTally, TallyCollector

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
_FAILURES: Final = frozenset(AuthFailure)
_REASONS: Final = frozenset(name.removeprefix("ERROR_REASON_") for name in ErrorReason.keys())  # noqa: SIM118 - it is no dict


class CallMetrics:
    """Counts calls; see `ObservedServer`. Only methods that exist are counted, so that labels are bounded.

    Args:
        registry: Where the metrics are registered.
    """

    counts_messages = True

    def __init__(self, registry: CollectorRegistry) -> None:
        self._methods: list[_MethodMetrics] = []
        self.refusals: Counter[str] = Counter()  # by reason
        self.auth_failures: Counter[str] = Counter()  # by their reasons
        collector = TallyCollector()

        def add_counter(name: str, text: str, attribute: str) -> None:
            def read() -> Counts:
                return [(method.labels, getattr(method, attribute)) for method in self._methods]

            collector.add_counter(name, text, _LABELS, read)

        add_counter("grpc_server_started", "Calls that have begun.", "started")
        collector.add_counter(
            "grpc_server_handled", "Calls that have ended.", (*_LABELS, "grpc_code"), self._handled
        )
        add_counter("grpc_server_msg_received", "Messages that calls have received.", "messages_received")
        add_counter("grpc_server_msg_sent", "Messages that calls have sent.", "messages_sent")
        collector.add_histogram(
            "grpc_server_handling_seconds",
            "Seconds that calls took; a watch takes as long as somebody watches.",
            _LABELS,
            lambda: [(method.labels, method.seconds) for method in self._methods],
        )
        collector.add_counter(
            "flowgram_refusals",
            "Calls that ended with an error, by its reason.",
            ("reason",),
            lambda: [((reason,), count) for reason, count in self.refusals.items()],
        )
        collector.add_counter(
            "flowgram_auth_failures",
            "Calls and streams that were refused for who makes them.",
            ("reason",),
            lambda: [((reason,), count) for reason, count in self.auth_failures.items()],
        )
        registry.register(collector)

    def listener(self, method: Method) -> CallListener:
        """What counts the calls of a method."""
        metrics = _MethodMetrics(self, method)
        self._methods.append(metrics)
        return metrics

    def _handled(self) -> Counts:
        for method in self._methods:
            for code, count in method.handled():
                yield (*method.labels, _code(code)), count


class _MethodMetrics:
    """Counts the calls of one method."""

    def __init__(self, metrics: CallMetrics, method: Method) -> None:
        self.labels = method.type, method.service, method.name
        self.started = 0
        self._received = self._sent = 0
        self._takes_stream = method.type in {"client_stream", "bidi_stream"}
        self._gives_stream = method.type in {"server_stream", "bidi_stream"}
        self.seconds = HistogramTally(_SECONDS)
        self._metrics = metrics
        self._answered = 0
        self._failed: Counter[StatusCode] = Counter()

    def begun(self, _: Call) -> None:
        """Counts what has begun."""
        self.started += 1

    def received(self) -> None:
        """Counts a message of a stream."""
        self._received += 1

    def sent(self) -> None:
        """Counts a message of a stream."""
        self._sent += 1

    @property
    def messages_received(self) -> int:
        """Messages that calls have received: one each, where they take no streams."""
        return self._received if self._takes_stream else self.started

    @property
    def messages_sent(self) -> int:
        """Messages that calls have sent: one for each that was answered, where they give no streams."""
        return self._sent if self._gives_stream else self._answered

    def ended(self, call: Call, _: Any) -> None:
        """Counts a call that has ended."""
        if call.code is StatusCode.OK:  # the code as a key would be hashed in Python
            self._answered += 1
        else:
            self._failed[call.code] += 1
        self.seconds.observe(call.seconds)
        reason = call.notes.get("reason")
        if reason is not None:
            self._metrics.refusals[reason if reason in _REASONS else "other"] += 1
            failure = call.notes.get("auth_failure")
            if failure is not None:
                self._metrics.auth_failures[failure if failure in _FAILURES else "other"] += 1

    def handled(self) -> list[tuple[StatusCode, int]]:
        """How many calls have ended, by how."""
        answered = [(StatusCode.OK, self._answered)] if self._answered else []
        return [*answered, *self._failed.items()]


def _code(code: StatusCode) -> str:
    """The code as other languages spell it: `NotFound`, `OK`."""
    return "OK" if code is StatusCode.OK else "".join(word.title() for word in code.name.split("_"))
