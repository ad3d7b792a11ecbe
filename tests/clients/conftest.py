import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from clients.environment import Environment, ServerProcess, environment_around
from clients.programs import go_programs, js_programs
from support.scripted_server import ScriptedServer
from support.temporal_server import temporal_server


@pytest.fixture(scope="module", params=["embedded", "temporal"])
def server_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """The server, on each of its hosts: clients must not notice on which."""
    folder = Path(tmp_path_factory.mktemp("server"))
    with ExitStack() as stack:
        temporal = ""
        if request.param == "temporal":
            temporal = stack.enter_context(temporal_server(folder / "temporal")).address
        server = ServerProcess(folder, temporal)
        stack.callback(server.close)
        yield server


@pytest.fixture(scope="module", params=["server", "go", "js"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The command line of each gateway, without its arguments."""
    match request.param:
        case "go":
            return go_programs(tmp_path_factory.mktemp("go")).gateway
        case "js":
            return js_programs().gateway
        case _:
            return (sys.executable, "-c", "from flowgram_server.cli import main; main()", "gateway")


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
