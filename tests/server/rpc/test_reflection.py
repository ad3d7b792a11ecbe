"""Reflection, under both of its names."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from flowgram_server.rpc.handlers import SERVICE_NAME
from flowgram_server.rpc.observed_calls import ObservedServer
from flowgram_server.rpc.reflection import add_reflection

V1, V1ALPHA = "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"


@pytest.fixture
async def channel() -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    add_reflection(ObservedServer(server), (SERVICE_NAME,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)


async def ask(channel: grpc.aio.Channel, service: str, **question: Any) -> ServerReflectionResponse:
    method: Any = channel.stream_stream(
        f"/{service}/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    (answer,) = [answer async for answer in method([ServerReflectionRequest(**question)])]
    return answer


def files(answer: ServerReflectionResponse) -> dict[str, FileDescriptorProto]:
    found = map(FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    return {file.name: file for file in found}


@pytest.mark.parametrize("service", [V1, V1ALPHA])
async def test_the_services(channel: grpc.aio.Channel, service: str) -> None:
    """Both versions list what there is, themselves included."""
    answer = await ask(channel, service, list_services="")
    assert [each.name for each in answer.list_services_response.service] == [SERVICE_NAME, V1, V1ALPHA]


@pytest.mark.parametrize(
    "symbol",
    [
        SERVICE_NAME,
        f"{SERVICE_NAME}.TaskRun",
        "flowgram.runtime.v1.TaskRunRequest",
        "flowgram.runtime.v1.TaskRunRequest.schema",
        "flowgram.runtime.v1.ErrorReason",
        "flowgram.runtime.v1.ErrorReason.ERROR_REASON_TASK_NOT_FOUND",
        V1,
        f"{V1}.ServerReflectionInfo",
        V1ALPHA,
    ],
)
async def test_symbols_that_exist(channel: grpc.aio.Channel, symbol: str) -> None:
    """Services, messages and enums are found, and so are methods, fields and values within them."""
    answer = await ask(channel, V1, file_containing_symbol=symbol)
    package = symbol.rpartition("v1")[0] if "v1alpha" not in symbol else symbol.rpartition("v1alpha")[0]
    assert any(file.package.startswith(package.rstrip(".")) for file in files(answer).values())


@pytest.mark.parametrize(
    "symbol", [f"{SERVICE_NAME}.Nothing", "flowgram.runtime.v1.Nothing.at_all", "nowhere", "", "x" * 100_000]
)
async def test_symbols_that_do_not_exist(channel: grpc.aio.Channel, symbol: str) -> None:
    """They are NOT_FOUND, and the stream goes on."""
    answer = await ask(channel, V1, file_containing_symbol=symbol)
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_what_v1_says_of_itself(channel: grpc.aio.Channel) -> None:
    """Its description stands alone: no type of it is one of v1alpha."""
    answer = await ask(channel, V1, file_by_filename="grpc/reflection/v1/reflection.proto")
    (file,) = files(answer).values()
    assert "v1alpha" not in str(file)
    assert file.service[0].method[0].input_type == ".grpc.reflection.v1.ServerReflectionRequest"
