"""A server on Temporal: a cluster that is away, at its start and later, and what keeps it from starting at all."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.temporal_server import TemporalServer, require_temporal
from support.workflows import ECHO

from flowgram.runtime.v1 import runtime_service_pb2 as service
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_core.temporal.errors import EncryptionKeyInvalid, TemporalError
from flowgram_server.app import open_server
from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
KEYS = {"test": "A" * 43 + "="}


def settings(address: str, **temporal: Any) -> Settings:
    group = {"address": address, "encryption_keys": KEYS, **temporal}
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "",
            "runtime": "temporal",
            "with_worker": True,
            "code": {"workers": 1},
            "temporal": group,
        }
    )


async def until(channel: grpc.aio.Channel, status: int) -> None:
    """Returns once health says so."""
    request = health_pb2.HealthCheckRequest(service=SERVICE_NAME)
    async for answer in health_pb2_grpc.HealthStub(channel).Watch(request):
        if answer.status == status:
            return


@pytest.mark.timeout(180)
async def test_a_cluster_that_is_away(tmp_path: Path) -> None:
    """A server starts without its cluster, says that it does not serve, and serves once the cluster is there; and again."""
    require_temporal()
    cluster = TemporalServer(tmp_path)
    try:
        async with (
            open_server(settings(cluster.address)) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub = WorkflowRuntimeServiceStub(channel)
            await until(channel, NOT_SERVING)
            assert await reason(stub.TaskRun(service.TaskRunRequest(schema=ECHO))) == "STORAGE_UNAVAILABLE"
            assert (await stub.ServerInfo(service.ServerInfoRequest())).runtime == "temporal"
            for number in range(2):
                await asyncio.to_thread(cluster.start)
                await until(channel, SERVING)
                task_id, outputs = await run(stub, f'{{"text": "{number}"}}')
                assert outputs == f'{{"text":"{number}"}}'
                await asyncio.to_thread(cluster.kill)
                await until(channel, NOT_SERVING)
                result = stub.TaskResult(service.TaskResultRequest(task_id=task_id))
                assert await reason(result) == "STORAGE_UNAVAILABLE"
    finally:
        cluster.close()


async def run(stub: Any, inputs: str) -> tuple[str, str]:
    """The id and the outputs of a workflow that is run to its end, as clients do: again where the server asks for that."""
    task_id = ""
    while True:
        try:
            if not task_id:
                answer = await stub.TaskRun(service.TaskRunRequest(schema=ECHO, inputs=inputs, wait=True))
                task_id = answer.task_id
            else:
                answer = await stub.TaskResult(service.TaskResultRequest(task_id=task_id, wait=True))
            if answer.status.terminated:
                return task_id, answer.outputs
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            await asyncio.sleep(0.2)


async def reason(call: Any) -> str:
    """Why a call was refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    details = dict(iter(caught.value.trailing_metadata() or ()))["grpc-status-details-bin"]
    return "STORAGE_UNAVAILABLE" if b"STORAGE_UNAVAILABLE" in details else repr(details)


async def test_a_namespace_that_there_is_not(tmp_path: Path) -> None:
    """It is no task that was not found: the server does not serve, and names the namespace for operators."""
    require_temporal()
    cluster = TemporalServer(tmp_path)
    cluster.start()
    try:
        async with (
            open_server(settings(cluster.address, namespace="nowhere")) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            await until(channel, NOT_SERVING)
            stub = WorkflowRuntimeServiceStub(channel)
            result = stub.TaskResult(service.TaskResultRequest(task_id="t1"))
            assert await reason(result) == "STORAGE_UNAVAILABLE"
    finally:
        cluster.close()


async def test_what_cannot_be_used_at_all() -> None:
    """Without keys, or with a configuration that cannot be read, a server does not start, and says why."""
    pytest.importorskip("temporalio")
    with pytest.raises(EncryptionKeyInvalid, match="unencrypted"):
        async with open_server(settings("127.0.0.1:1", encryption_keys={})):
            pass
    with pytest.raises(TemporalError, match="cannot be read"):
        async with open_server(settings("127.0.0.1:1", config_file="/there/is/none.toml")):
            pass
