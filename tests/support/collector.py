"""An OpenTelemetry collector: a real OTLP service on a port of its own, which keeps the spans that it gets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps spans.

    Attributes:
        address: Where it listens.
        spans: The spans that have come, as OTLP has them.
        resources: The attributes of what has sent them.
    """

    def __init__(self) -> None:
        self.address = ""
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        for resource in request.resource_spans:
            self.resources.append(attributes_of(resource.resource))
            for scope in resource.scope_spans:
                self.spans += scope.spans
        self._changed.set()
        return trace_service_pb2.ExportTraceServiceResponse()

    async def until(self, *names: str) -> list[Any]:
        """The first span of each of these names, once there are all of them."""
        while not set(names) <= {span.name for span in self.spans}:
            self._changed.clear()
            await self._changed.wait()
        return [next(span for span in self.spans if span.name == name) for name in names]

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def attributes_of(owner: Any) -> dict[str, Any]:
    """The attributes of a span or a resource, as Python values."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in owner.attributes}


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector, while the block lasts."""
    collector, server = Collector(), grpc.aio.server()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    collector.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        yield collector
    finally:
        await server.stop(None)
