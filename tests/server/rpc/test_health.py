"""The health service: statuses, watchers within bounds, and a shutdown that no watcher can hold up."""

from collections.abc import AsyncIterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowgram_server.rpc.health import HealthServicer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


@pytest.fixture
def servicer() -> HealthServicer:
    servicer = HealthServicer(max_watchers=2)
    servicer.set("runtime", SERVING)
    return servicer


@pytest.fixture
async def stub(servicer: HealthServicer) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop(None)


def ask(service: str) -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=service)


async def test_check_and_list(servicer: HealthServicer, stub: health_pb2_grpc.HealthStub) -> None:
    """The server as a whole is serving while the runtime is not; an unknown service is NOT_FOUND."""
    servicer.set("runtime", NOT_SERVING)
    assert (await stub.Check(ask(""))).status == SERVING
    assert (await stub.Check(ask("runtime"))).status == NOT_SERVING
    if hasattr(health_pb2, "HealthListRequest"):  # the oldest supported release has none
        listed = await stub.List(health_pb2.HealthListRequest())
        assert {name: each.status for name, each in listed.statuses.items()} == {
            "": SERVING,
            "runtime": NOT_SERVING,
        }
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Check(ask("nothing"))
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_watch(servicer: HealthServicer, stub: health_pb2_grpc.HealthStub) -> None:
    """Each change is seen once, and a service that is not known yet is watched as well."""
    watch = stub.Watch(ask("runtime"))
    assert (await watch.read()).status == SERVING
    servicer.set("runtime", SERVING)
    servicer.set("runtime", NOT_SERVING)
    assert (await watch.read()).status == NOT_SERVING
    unknown = stub.Watch(ask("later"))
    assert (await unknown.read()).status == UNKNOWN
    servicer.set("later", SERVING)
    assert (await unknown.read()).status == SERVING
    servicer.enter_graceful_shutdown()
    assert (await unknown.read()).status == NOT_SERVING
    servicer.set("later", SERVING)
    assert (await stub.Check(ask("later"))).status == NOT_SERVING


async def test_watchers_are_bounded(servicer: HealthServicer, stub: health_pb2_grpc.HealthStub) -> None:
    """One too many is refused; one that ends makes room."""
    watches = [stub.Watch(ask("")) for _ in range(2)]
    for watch in watches:
        await watch.read()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Watch(ask("")).read()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    watches[0].cancel()
    while servicer._watchers == 2:
        await stub.Check(ask(""))
    assert (await stub.Watch(ask("")).read()).status == SERVING
