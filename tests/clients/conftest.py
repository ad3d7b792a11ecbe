from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clients.environment import Environment, ServerProcess, environment_around
from support.scripted_server import ScriptedServer


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess(Path(tmp_path_factory.mktemp("server")))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
async def environment(server_process: ServerProcess) -> AsyncIterator[Environment]:
    async with environment_around(server_process) as environment:
        yield environment


@pytest.fixture
async def scripted() -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
