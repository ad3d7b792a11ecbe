"""The service on a real gRPC server, around any application, and what tests read of the statuses that it sends."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.hosting.secrets import Secrets
from flowgram_server.rpc.authentication import CallGuard
from flowgram_server.rpc.handlers import add_service
from flowgram_server.rpc.observed_calls import CallObserver, ObservedServer
from flowgram_server.rpc.servicer import RuntimeServicer, ServiceLimits
from support.fake_application import FakeApplication
from support.fakes import FakeClock


@dataclass
class Service:
    """A service that is serving.

    Attributes:
        application: The fake behind it.
        channel: A connection to it.
        stub: The same, with the contract's methods.
        address: Where it listens.
    """

    application: FakeApplication
    channel: grpc.aio.Channel
    stub: Any
    address: str


@asynccontextmanager
async def serving(
    limits: ServiceLimits | None = None,
    observers: Sequence[CallObserver] = (),
    clock: Callable[[], float] = time.monotonic,
    guard: CallGuard | None = None,
) -> AsyncIterator[Service]:
    """The service around a fake application, for as long as the block lasts."""
    limits = limits or ServiceLimits()
    application = FakeApplication()
    servicer = RuntimeServicer(application, FakeClock(), Secrets(), limits)
    server = grpc.aio.server()
    add_service(ObservedServer(server, observers, clock), servicer, limits, guard=guard)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with grpc.aio.insecure_channel(address) as channel:
            yield Service(application, channel, WorkflowRuntimeServiceStub(channel), address)
    finally:
        await server.stop(None)


@dataclass
class Refusal:
    """How a call was refused."""

    code: grpc.StatusCode
    text: str
    reason: str
    metadata: dict[str, str]
    violations: list[tuple[str, str]]
    retry_after: float


def refusal(error: grpc.aio.AioRpcError) -> Refusal:
    """The rich status of a call that failed."""
    metadata = dict(iter(error.trailing_metadata() or ()))  # old Metadata is a mapping by other keys
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert status.message == error.details()
    assert status.code == error.code().value[0]
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        detail.Unpack(retry)
    assert info.domain == "flowgram.runtime"
    violations = [(violation.field, violation.description) for violation in bad_request.field_violations]
    retry_after = retry.retry_delay.ToMilliseconds() / 1000
    return Refusal(
        error.code(), error.details() or "", info.reason, dict(info.metadata), violations, retry_after
    )


async def refused(call: Any) -> Refusal:
    """The rich status of a call that must fail."""
    try:
        answer = await (call.read() if hasattr(call, "read") else call)
    except grpc.aio.AioRpcError as error:
        return refusal(error)
    raise AssertionError(f"the call was answered: {answer}")
