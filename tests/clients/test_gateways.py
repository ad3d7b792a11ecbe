"""One suite for all gateways: the one beside the server, and those in Go and TypeScript, speak the same API."""

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from clients.environment import Environment, ServerProcess
from clients.gateway_client import GatewayClient
from clients.gateway_process import GatewayProcess, gateway_running
from clients.gateway_scenarios import GATEWAY_SCENARIOS, GatewayScenario
from clients.programs import go_programs, js_programs
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import ScriptedServer

pytestmark = pytest.mark.timeout(300)  # the first test of each builds

Command = tuple[str, ...]


@pytest.fixture(scope="module")
def server_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The server on one host only: a gateway is a client, and those are tested with both."""
    server = ServerProcess(Path(tmp_path_factory.mktemp("server")))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module", params=["server", "go", "js"])
def command(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The command line of a gateway, without its arguments."""
    match request.param:
        case "go":
            return go_programs(tmp_path_factory.mktemp("go")).gateway
        case "js":
            return js_programs().gateway
        case _:
            return (sys.executable, "-c", "from flowgram_server.cli import main; main()", "gateway")


@pytest.fixture
async def gateway(command: Command, environment: Environment) -> AsyncIterator[GatewayProcess]:
    async with gateway_running(environment.server.target, *command) as gateway:
        yield gateway


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway_as_a_client(
    gateway: GatewayProcess, environment: Environment, scenario: Scenario
) -> None:
    """A browser gets through a gateway what a client gets."""
    async with GatewayClient(gateway.url) as client:
        await scenario(environment, client)


@pytest.mark.parametrize("scenario", GATEWAY_SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway(gateway: GatewayProcess, environment: Environment, scenario: GatewayScenario) -> None:
    """The gateway speaks HTTP as docs/rest.md says."""
    async with GatewayClient(gateway.url) as client:
        await scenario(environment, gateway, client)


@pytest.mark.parametrize("command", ["go", "js"], indirect=True)
async def test_gateway_sends_metadata_on(command: Command, scripted: ScriptedServer) -> None:
    """Headers that are for the server arrive there."""
    async with (
        gateway_running(scripted.target, *command) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await sends_metadata_and_deadlines(scripted, client)
