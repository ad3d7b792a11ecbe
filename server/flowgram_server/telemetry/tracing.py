"""Traces by OpenTelemetry: whether there are any, where spans go, and how a trace is passed on.

The environment decides, by OpenTelemetry's own variables: an endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`) or an exporter
(`OTEL_TRACES_EXPORTER`) switches traces on. Without either nothing of OpenTelemetry is imported.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import structlog

from flowgram_core.concurrency.time_limit import TimeLimit
from flowgram_server import logs

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


_log = structlog.get_logger(__name__)

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_SHUTDOWN_SECONDS: Final = 3.0
"""Seconds that the last spans get to be sent."""


class TracingUnusable(Exception):
    """Traces are asked for, and cannot be made; the text is for operators."""


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter != "none"
    return any(environment.get(name) for name in _ENDPOINTS)


class Tracing:
    """The traces of one server.

    Args:
        provider: Makes its spans.

    Attributes:
        calls: Of gRPC calls.
        tasks: Of tasks and the runs of their nodes.
        requests: Of what nodes ask of others.
    """

    def __init__(self, provider: "TracerProvider") -> None:
        from flowgram_server.telemetry.call_traces import CallTraces  # noqa: PLC0415 - they need an extra
        from flowgram_server.telemetry.request_traces import RequestTraces  # noqa: PLC0415
        from flowgram_server.telemetry.task_traces import TaskTraces  # noqa: PLC0415

        tracer = provider.get_tracer("flowgram_server", version("flowgram-server"))
        self.calls: CallTraces = CallTraces(tracer)
        self.tasks: TaskTraces = TaskTraces(tracer)
        self.requests: RequestTraces = RequestTraces(tracer)


@asynccontextmanager
async def open_tracing(environment: Mapping[str, str] | None = None) -> AsyncIterator[Tracing | None]:
    """The traces that the environment asks for, while the block lasts; None: it asks for none.

    Raises:
        TracingUnusable: The extra `otel` is missing, or the environment names what there is not.
    """
    if not is_wanted(os.environ if environment is None else environment):
        yield None
        return
    try:
        provider = _provider(os.environ if environment is None else environment)
    except ImportError as error:
        needed = "install flowgram-server[otel], and for http/protobuf opentelemetry-exporter-otlp-proto-http"
        raise TracingUnusable(f"traces are asked for, and {error.name} is missing: {needed}") from error
    logs.add_fields(_trace_fields)
    try:
        yield Tracing(provider)
    finally:
        logs.add_fields(None)
        await _shut_down(provider)


def _provider(environment: Mapping[str, str]) -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - it needs an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    given = environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    attributes = {"service.version": version("flowgram-server")}
    if not environment.get("OTEL_SERVICE_NAME") and "service.name=" not in given:
        attributes["service.name"] = "flowgram-server"
    provider = TracerProvider(resource=Resource.create(attributes), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_exporter(environment)))
    return provider


def _exporter(environment: Mapping[str, str]) -> Any:
    name = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower() or "otlp"
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415 - it needs an extra

        return ConsoleSpanExporter()
    if name != "otlp":
        raise TracingUnusable(f"OTEL_TRACES_EXPORTER should be otlp, console or none, not {name[:100]}")
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"
    )
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415

        return OTLPSpanExporter()
    if protocol == "http/protobuf":
        # It is in no extra: who wants it installs it.
        return import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter").OTLPSpanExporter()
    raise TracingUnusable(
        f"OTEL_EXPORTER_OTLP_PROTOCOL should be grpc or http/protobuf, not {protocol[:100]}"
    )


def _trace_fields() -> dict[str, str]:
    """What log lines say of the span that they were written in."""
    from opentelemetry.trace import format_span_id, format_trace_id, get_current_span  # noqa: PLC0415 - as above

    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


async def _shut_down(provider: "TracerProvider") -> None:
    """Sends the last spans, for some seconds at most: a collector that is away holds up nobody."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop did not wait
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=end, name="otel-shutdown", daemon=True).start()
    try:
        # Not `asyncio.timeout`, whose `TimeoutError` a task that is being cancelled does not get before Python 3.11.3.
        with TimeLimit(loop.call_later, _SHUTDOWN_SECONDS):
            await ended.wait()
    except TimeoutError:
        _log.warning("the last spans could not be sent")
