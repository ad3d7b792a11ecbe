"""The Go client, through the scenarios that all clients have in common."""

import shutil

import pytest
from clients.environment import Environment
from clients.programs import GO_MODULE, Programs, go_command, go_programs
from clients.runner import running
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import ScriptedServer
from support.toolchains import build, require

pytestmark = pytest.mark.timeout(300)  # the first test builds


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    return go_programs(tmp_path_factory.mktemp("go"))


@pytest.mark.timeout(900)  # the race detector is built first
def test_own_tests() -> None:
    """The module is formatted and vetted, and its own tests pass, with the race detector where there is a C compiler."""
    go = go_command()
    race = ["-race"] if shutil.which("gcc") or shutil.which("clang") else []
    assert build(require("gofmt"), "-l", ".", cwd=GO_MODULE) == ""
    build(go, "vet", "./...", cwd=GO_MODULE)
    build(go, "test", *race, "./...", cwd=GO_MODULE)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """The client does what all clients do."""
    async with running(*programs.runner, environment.server.target) as client:
        await scenario(environment, client)


async def test_metadata_and_deadlines(programs: Programs, scripted: ScriptedServer) -> None:
    """What a caller says beside the request arrives with it."""
    async with running(*programs.runner, scripted.target) as client:
        await sends_metadata_and_deadlines(scripted, client)
