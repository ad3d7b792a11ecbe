"""The Go client and its gateway, through the scenarios that all clients have in common."""

import os
import shutil
import subprocess
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
MODULE = ROOT / "clients" / "go"

pytestmark = pytest.mark.timeout(300)  # the first test builds


class Programs(NamedTuple):
    runner: str
    gateway: str


@pytest.fixture(scope="module")
def go() -> str:
    """The Go command, with the modules that the client needs."""
    command = require("go")
    done = subprocess.run(
        [command, "mod", "download"], cwd=MODULE, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        assert os.environ.get("CI") != "true", done.stderr
        pytest.skip("the modules that the client needs cannot be downloaded")
    return command


@pytest.fixture(scope="module")
def programs(go: str, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("go")
    build(go, "build", "-o", f"{folder}/", "./internal/contract", "./cmd/gateway", cwd=MODULE)
    return Programs(str(folder / "contract"), str(folder / "gateway"))


@pytest.mark.timeout(900)  # the race detector is built first
def test_own_tests(go: str) -> None:
    """The module is formatted and vetted, and its own tests pass, with the race detector where there is a C compiler."""
    race = ["-race"] if shutil.which("gcc") or shutil.which("clang") else []
    assert build(require("gofmt"), "-l", ".", cwd=MODULE) == ""
    build(go, "vet", "./...", cwd=MODULE)
    build(go, "test", *race, "./...", cwd=MODULE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """The client does what all clients do."""
    async with running(programs.runner, environment.server.target) as client:
        await scenario(environment, client)


async def test_metadata_and_deadlines(programs: Programs, scripted: ScriptedServer) -> None:
    """What a caller says beside the request arrives with it."""
    async with running(programs.runner, scripted.target) as client:
        await sends_metadata_and_deadlines(scripted, client)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway_as_a_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """A browser gets through the gateway what a client gets."""
    async with (
        gateway_running(environment.server.target, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await scenario(environment, client)


@pytest.mark.parametrize("scenario", GATEWAY_SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_gateway(programs: Programs, environment: Environment, scenario: GatewayScenario) -> None:
    """The gateway speaks HTTP as docs/clients/gateway.md says."""
    async with (
        gateway_running(environment.server.target, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await scenario(environment, gateway, client)


async def test_gateway_sends_metadata_on(programs: Programs, scripted: ScriptedServer) -> None:
    """Headers that are for the server arrive there."""
    async with (
        gateway_running(scripted.target, programs.gateway) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await sends_metadata_and_deadlines(scripted, client)
