"""A server with its gateway, both on ports of their own, encrypted or not."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx2

from flowgram.runtime.v1.runtime_service_pb2 import ServerInfoRequest
from flowgram.runtime.v1.runtime_service_pb2_grpc import WorkflowRuntimeServiceStub
from flowgram_server.address import address_of, bind
from flowgram_server.app import Server, open_server
from flowgram_server.gateway.embedded import open_embedded
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.telemetry.readiness import Readiness
from support.authority import Signed


def settings_for(data: Path, **flags: Any) -> Settings:
    return load_settings(
        flags={
            "listen": "127.0.0.1:0",
            "http_listen": "127.0.0.1:0",
            "data": data,
            "storage": "memory",
            "code": {"workers": 1},
            "access_log": False,
            **flags,
        }
    )


class Ports(NamedTuple):
    """A server with its gateway."""

    server: Server
    http: str

    async def grpc_info(self, roots: bytes, client: Signed | None = None) -> Any:
        """What the server tells by gRPC to a client that trusts an authority."""
        credentials = grpc.ssl_channel_credentials(
            roots, *((client.key, client.certificate) if client else ())
        )
        async with grpc.aio.secure_channel(self.server.address, credentials) as channel:
            stub: Any = WorkflowRuntimeServiceStub(channel)
            return await stub.ServerInfo(ServerInfoRequest(), timeout=10)

    async def http_get(
        self,
        roots: bytes,
        path: str,
        files: tuple[Path, Path] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The same by HTTP."""
        context = ssl.create_default_context(cadata=roots.decode())
        if files is not None:
            context.load_cert_chain(*files)
        async with httpx2.AsyncClient(verify=context, trust_env=False) as client:
            return await client.get(f"https://{self.http}{path}", headers=headers)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Ports]:
    listener = bind(settings.http_listen)
    with listener:
        async with (
            open_server(settings) as server,
            open_embedded(settings, listener, server.address, server.security, Readiness(None)),
        ):
            yield Ports(server, address_of(listener))
