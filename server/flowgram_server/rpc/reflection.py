"""Reflection: tools find out what a server offers, by grpc.reflection.v1 and its older name v1alpha.

Both versions are the same but for their package: the messages of v1alpha, which the library has, are those of v1 on the wire.
"""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from flowgram.runtime.v1 import error_reason_pb2  # noqa: F401 - what was imported is described: these, too, which no method names
from flowgram_server.rpc.observed_calls import ObservedServer

_V1ALPHA: Final = "grpc.reflection.v1alpha.ServerReflection"
_V1: Final = "grpc.reflection.v1.ServerReflection"
_V1_FILE: Final = "grpc/reflection/v1/reflection.proto"

_MAX_SYMBOL: Final = 1000
"""Characters of a name that is looked for."""


def add_reflection(server: ObservedServer, services: Iterable[str]) -> None:
    """Lets a server that has not started tell of these services, and of reflection itself."""
    _describe_v1()
    servicer = _Servicer((*services, _V1, _V1ALPHA))  # type: ignore[no-untyped-call]  # the library has no types
    for name in (_V1, _V1ALPHA):
        handler = grpc.stream_stream_rpc_method_handler(
            servicer.ServerReflectionInfo,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        server.add_methods(name, {"ServerReflectionInfo": handler})


class _Servicer(ReflectionServicer):
    """Finds methods, fields and enum values as well: the library knows what stands in a file by itself only."""

    def _file_containing_symbol(self, request: Any, fully_qualified_name: str) -> Any:
        name = fully_qualified_name[:_MAX_SYMBOL]
        answer = super()._file_containing_symbol(request, name)  # type: ignore[no-untyped-call]  # as above
        owner = name.rpartition(".")[0]
        if answer.HasField("error_response") and owner and self._has_member(owner, name.rpartition(".")[2]):
            answer = super()._file_containing_symbol(request, owner)  # type: ignore[no-untyped-call]  # as above
        return answer

    def _has_member(self, owner: str, member: str) -> bool:
        pool = self._pool
        for find, kinds in (
            (pool.FindServiceByName, ("methods_by_name",)),
            (pool.FindMessageTypeByName, ("fields_by_name", "oneofs_by_name")),
            (pool.FindEnumTypeByName, ("values_by_name",)),
        ):
            try:
                found = find(owner)
            except KeyError:
                continue
            return any(member in getattr(found, kind) for kind in kinds)
        return False


def _describe_v1() -> None:
    """Adds what v1 is to the descriptors that tools are shown, unless something else has."""
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(_V1_FILE)
    except KeyError:
        renamed = descriptor_pb2.FileDescriptorProto()
        reflection_pb2.DESCRIPTOR.CopyToProto(renamed)
        renamed.ClearField("options")
        renamed.name, renamed.package = _V1_FILE, "grpc.reflection.v1"
        for message in renamed.message_type:
            for field in message.field:
                if field.HasField("type_name"):
                    field.type_name = field.type_name.replace(".v1alpha.", ".v1.")
        for method in renamed.service[0].method:
            method.input_type = method.input_type.replace(".v1alpha.", ".v1.")
            method.output_type = method.output_type.replace(".v1alpha.", ".v1.")
        pool.Add(renamed)
