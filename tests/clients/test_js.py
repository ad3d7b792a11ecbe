"""The TypeScript client and its gateway: the scenarios that all clients have in common, and the package's own tests."""

from pathlib import Path
from typing import NamedTuple

import pytest
from clients.environment import Environment
from clients.gateway_client import GatewayClient
from clients.gateway_process import gateway_running
from clients.gateway_scenarios import GATEWAY_SCENARIOS, GatewayScenario
from clients.runner import running
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import ScriptedServer
from support.toolchains import build, require

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "clients" / "js"

pytestmark = pytest.mark.timeout(300)  # the first test installs and builds


class Programs(NamedTuple):
    node: str
    runner: str
    gateway: str


@pytest.fixture(scope="module")
def programs() -> Programs:
    node = require("node")
    require("npm")
    build(str(ROOT / "tools/build_js.sh"), cwd=ROOT)
    if not (PACKAGE / "node_modules/.stamp").exists():
        pytest.skip(
            "the packages that the client needs cannot be installed"
        )  # build fails instead if CI=true
    return Programs(node, str(PACKAGE / "dist/test/contract.js"), str(PACKAGE / "dist/gateway/main.js"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """The client does what all clients do."""
    async with running(programs.node, programs.runner, environment.server.target) as client:
        await scenario(environment, client)


async def test_metadata_and_deadlines(programs: Programs, scripted: ScriptedServer) -> None:
    """What a caller says beside the request arrives with it."""
    async with running(programs.node, programs.runner, scripted.target) as client:
        await sends_metadata_and_deadlines(scripted, client)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway_as_a_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """A browser gets through the gateway what a client gets."""
    async with (
        gateway_running(environment.server.target, programs.node, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await scenario(environment, client)


@pytest.mark.parametrize("scenario", GATEWAY_SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway(programs: Programs, environment: Environment, scenario: GatewayScenario) -> None:
    """The gateway speaks HTTP as docs/clients/gateway.md says."""
    async with (
        gateway_running(environment.server.target, programs.node, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await scenario(environment, gateway, client)


async def test_gateway_sends_metadata_on(programs: Programs, scripted: ScriptedServer) -> None:
    """Headers that are for the server arrive there."""
    async with (
        gateway_running(scripted.target, programs.node, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await sends_metadata_and_deadlines(scripted, client)


def test_the_package_itself(programs: Programs) -> None:
    """The package's own tests pass."""
    files = sorted((PACKAGE / "dist/test").glob("*.test.js"))
    build(programs.node, "--test", *map(str, files), cwd=PACKAGE)


def test_lock_file_names_no_registry() -> None:
    """The packages come from whatever registry a developer uses."""
    assert "://" not in (PACKAGE / "package-lock.json").read_text("utf-8")
