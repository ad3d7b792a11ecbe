"""The Python clients, through the scenarios that all clients have in common."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from clients.environment import Environment
from clients.python_client import PythonClient
from clients.scenarios import SCENARIOS, Scenario, sends_metadata_and_deadlines
from support.scripted_server import ScriptedServer

import flowgram_client as fc

KINDS = (fc.AsyncClient, fc.Client)


@asynccontextmanager
async def connected(kind: type[fc.AsyncClient] | type[fc.Client], target: str) -> AsyncIterator[PythonClient]:
    client = PythonClient(lambda metadata: kind(target, metadata=metadata))
    try:
        yield client
    finally:
        await client.close()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("kind", KINDS)
async def test_client(
    kind: type[fc.AsyncClient] | type[fc.Client], environment: Environment, scenario: Scenario
) -> None:
    """The client does what all clients do."""
    async with connected(kind, environment.server.target) as client:
        await scenario(environment, client)


@pytest.mark.parametrize("kind", KINDS)
async def test_metadata_and_deadlines(
    kind: type[fc.AsyncClient] | type[fc.Client], scripted: ScriptedServer
) -> None:
    """What a caller says beside the request arrives with it."""
    async with connected(kind, scripted.target) as client:
        await sends_metadata_and_deadlines(scripted, client)
