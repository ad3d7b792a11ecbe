"""Spans of outgoing requests, by OpenTelemetry's conventions for HTTP and generative AI; never with contents.

Addresses are named by host and port alone: paths and queries may carry secrets.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import httpx2
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flowgram_core.nodes.llm.usage import TokenUsage

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_PORTS: Final = {"http": 80, "https": 443}
_MAX_NAME: Final = 100
_FIRST_ERROR: Final = 400


class RequestTraces:
    """Makes a span of each request; a `RequestObserver`.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    @contextmanager
    def request(self, method: str, url: httpx2.URL) -> Iterator["_Exchange"]:
        """See `RequestObserver`."""
        attributes = {"http.request.method": method, "url.scheme": url.scheme}
        with self._exchange(method, attributes, url) as exchange:
            yield exchange

    @contextmanager
    def completion(self, model: str, url: httpx2.URL) -> Iterator["_Exchange"]:
        """See `RequestObserver`."""
        name = model[:_MAX_NAME]
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",  # which API is spoken, not which provider serves it
            "gen_ai.request.model": name,
        }
        with self._exchange(f"chat {name}", attributes, url) as exchange:
            yield exchange

    @contextmanager
    def _exchange(self, name: str, attributes: Mapping[str, str], url: httpx2.URL) -> Iterator["_Exchange"]:
        port = url.port or _PORTS.get(url.scheme, 0)
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={**attributes, "server.address": url.host, "server.port": port},
        )
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers, set_span_in_context(span))
        try:
            yield _Exchange(span, headers)
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            span.end()


class _Exchange:
    """See `Exchange`."""

    def __init__(self, span: Span, headers: Mapping[str, str]) -> None:
        self._span = span
        self.headers = headers

    def answered(self, status: int) -> None:
        """See `Exchange`."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= _FIRST_ERROR:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))

    def used(self, usage: TokenUsage) -> None:
        """See `Exchange`."""
        for name, tokens in (("input", usage.input), ("output", usage.output)):
            if tokens is not None:
                self._span.set_attribute(f"gen_ai.usage.{name}_tokens", tokens)
