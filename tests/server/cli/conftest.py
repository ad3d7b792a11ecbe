import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

import pytest
from support.scripted_server import ScriptedServer

from flowgram_server.cli.root import run


class Finished(NamedTuple):
    status: int
    out: str
    err: str


Flowgram = Callable[..., Awaitable[Finished]]


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer()
    await scripted.start()
    try:
        yield scripted
    finally:
        await scripted.stop()


@pytest.fixture
def flowgram(server: ScriptedServer, capsys: pytest.CaptureFixture[str]) -> Flowgram:
    """Runs the command in a thread, against the scripted server."""

    async def call(*arguments: str) -> Finished:
        status = await asyncio.to_thread(run, [*arguments, "--target", server.target])
        return Finished(status, *capsys.readouterr())

    return call
