"""The TypeScript client, through the scenarios that all clients have in common."""

import pytest
from clients.environment import Environment
from clients.programs import JS_PACKAGE, Programs, js_programs
from clients.runner import running
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import ScriptedServer
from support.toolchains import build

pytestmark = pytest.mark.timeout(300)  # the first test builds


@pytest.fixture(scope="module")
def programs() -> Programs:
    return js_programs()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_client(programs: Programs, environment: Environment, scenario: Scenario) -> None:
    """The client does what all clients do."""
    async with running(*programs.runner, environment.server.target) as client:
        await scenario(environment, client)


async def test_metadata_and_deadlines(programs: Programs, scripted: ScriptedServer) -> None:
    """What a caller says beside the request arrives with it."""
    async with running(*programs.runner, scripted.target) as client:
        await sends_metadata_and_deadlines(scripted, client)


def test_the_package_itself(programs: Programs) -> None:
    """The package's own tests pass."""
    files = sorted((JS_PACKAGE / "dist/test").glob("*.test.js"))
    build(programs.runner[0], "--test", *map(str, files), cwd=JS_PACKAGE)


def test_lock_file_names_no_registry() -> None:
    """The packages come from whatever registry a developer uses."""
    assert "://" not in (JS_PACKAGE / "package-lock.json").read_text("utf-8")
