from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.gateway import GatewayUnderTest, gateway_to
from support.scripted_server import ScriptedServer

from flowgram_server.app import Server, open_server
from flowgram_server.settings.loading import load_settings


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    flags = {"listen": "127.0.0.1:0", "data": tmp_path, "code": {"workers": 1}, "access_log": False}
    async with open_server(load_settings(flags=flags)) as server:
        yield server


@pytest.fixture
async def gateway(server: Server) -> AsyncIterator[GatewayUnderTest]:
    async with gateway_to(server.address) as gateway:
        yield gateway


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@pytest.fixture
async def before_scripted(scripted: ScriptedServer) -> AsyncIterator[GatewayUnderTest]:
    async with gateway_to(scripted.target) as gateway:
        yield gateway
