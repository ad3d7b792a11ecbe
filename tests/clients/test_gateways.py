"""One suite for all gateways: the one beside the server, and those in Go and TypeScript, speak the same API."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest
from clients.environment import Environment, ServerProcess
from clients.gateway_client import GatewayClient
from clients.gateway_process import GatewayProcess, gateway_running
from clients.gateway_scenarios import GATEWAY_SCENARIOS, GatewayScenario
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import Refusal, ScriptedServer

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


async def test_gateway_passes_credentials_on(command: Command, scripted: ScriptedServer) -> None:
    """Who calls, and in which namespace, arrives as it was sent; a refusal says what to send."""
    missing = Refusal(grpc.StatusCode.UNAUTHENTICATED, "send a key", "CREDENTIALS_MISSING")
    invalid = Refusal(grpc.StatusCode.UNAUTHENTICATED, "no key", "CREDENTIALS_INVALID")
    denied = Refusal(grpc.StatusCode.PERMISSION_DENIED, "not you", "PERMISSION_DENIED")
    scripted.on("TaskResult", missing, invalid, denied)
    headers = {"Authorization": "Bearer key", "Flowgram-Namespace": "team-a", "Flowgram-Peer": "1.2.3.4:5"}
    async with (
        gateway_running(scripted.target, *command) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        answers = [await client.http.get("/api/task/result?taskID=t", headers=headers) for _ in range(3)]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (401, "CREDENTIALS_MISSING"),
        (401, "CREDENTIALS_INVALID"),
        (403, "PERMISSION_DENIED"),
    ]
    assert [answer.headers.get("WWW-Authenticate") for answer in answers] == [
        'Bearer realm="flowgram"',
        'Bearer realm="flowgram", error="invalid_token"',
        None,
    ]
    for sent in scripted.servicer.metadata:
        assert (sent["authorization"], sent["flowgram-namespace"]) == ("Bearer key", "team-a")
        assert "flowgram-peer" not in sent


@pytest.mark.parametrize("command", ["go", "js"], indirect=True)
async def test_gateway_sends_metadata_on(command: Command, scripted: ScriptedServer) -> None:
    """Headers that are for the server arrive there."""
    async with (
        gateway_running(scripted.target, *command) as gateway,
        GatewayClient(gateway.url) as client,
    ):
        await sends_metadata_and_deadlines(scripted, client)
