"""A network that takes turns: what arrives at once is read one after the other, as turns are given."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from support.http_node import execute
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, Received, never, response

from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.network.pooled_transport import PooledTransport
from flowgram_core.nodes.node_settings import HTTPSettings
from flowgram_server.fake_openai import MODEL, FakeOpenAI


class FairScheduler:
    """Turns that the test gives: all that are asked for, until they are `held`.

    Attributes:
        asked: How many wait for theirs.
    """

    def __init__(self) -> None:
        self.held = False
        self.asked: list[asyncio.Future[None]] = []
        self._changed = asyncio.Event()

    async def time_slice(self) -> None:
        if not self.held:
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked.append(turn)
        self._changed.set()
        await turn

    async def waiting(self, count: int) -> None:
        """Returns once so many have asked."""
        while len(self.asked) < count:
            self._changed.clear()
            await self._changed.wait()

    def give(self) -> None:
        """Gives one turn, to who asked first."""
        self.asked.pop(0).set_result(None)


class Gate:
    """A response that is sent when the gate opens."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.waiting = 0
        self.changed = asyncio.Event()

    async def __call__(self, received: Received) -> bytes:
        self.waiting += 1
        self.changed.set()
        await self.opened.wait()
        return response(b"ok")

    async def reached(self, count: int) -> None:
        while self.waiting < count:
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def client_of(
    fairness: FairScheduler, max_connections: int | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    transport = PooledTransport(
        verify=ssl.create_default_context(),
        max_connections=max_connections,
        max_keepalive=5,
        keepalive=60,
        time_slice=fairness.time_slice,
    )
    async with httpx2.AsyncClient(transport=transport, timeout=None) as client:
        yield client


async def test_answers_that_come_at_once_are_read_one_turn_after_the_other() -> None:
    """All have arrived, and as many requests have ended as turns were given."""
    fairness, gate = FairScheduler(), Gate()
    async with RawServer(gate) as server, client_of(fairness) as client:
        requests = [asyncio.create_task(client.get(server.url)) for _ in range(10)]
        await gate.reached(10)
        fairness.held = True
        gate.opened.set()
        for ended in range(10):
            await fairness.waiting(10 - ended)
            assert sum(request.done() for request in requests) == ended
            fairness.give()
            await asyncio.wait(
                [request for request in requests if not request.done()], return_when=asyncio.FIRST_COMPLETED
            )
        assert [request.result().text for request in requests] == ["ok"] * 10


@pytest.mark.parametrize("max_connections", [None, 5])
async def test_connecting_takes_turns_too(max_connections: int | None) -> None:
    """Nothing is sent before the turn has come; with a limit, those who get a place wait for theirs as well."""
    fairness = FairScheduler()
    fairness.held = True
    async with RawServer() as server, client_of(fairness, max_connections) as client:
        requests = [asyncio.create_task(client.get(server.url)) for _ in range(5)]
        await fairness.waiting(5)
        assert server.received == []
        fairness.held = False
        while fairness.asked:
            fairness.give()
        assert {(await request).status_code for request in requests} == {200}


async def test_who_is_canceled_before_the_turn_leaves_no_connection() -> None:
    """Whether it has connected, or has its answer."""
    fairness = FairScheduler()
    for answered in (False, True):
        fairness.held = not answered
        async with RawServer(never, head=b"HTTP/1.1 200 OK\r\n") as server, client_of(fairness) as client:
            request = asyncio.create_task(client.get(server.url))
            if answered:
                await server.arrived.wait()
                fairness.held = True
            await fairness.waiting(1)
            request.cancel()
            await asyncio.wait([request])
            fairness.asked.clear()
            await server.closed.wait()


async def test_http_nodes_take_turns_for_their_places() -> None:
    """Of those that wait for `max_parallel`, the next one begins with its turn."""
    fairness = FairScheduler()
    async with (
        RawServer() as server,
        HTTPNode(HTTPSettings(max_parallel=1), time_slice=fairness.time_slice) as node,
    ):
        await execute(node, server.url)
        fairness.held = True
        request = asyncio.create_task(execute(node, server.url))
        await fairness.waiting(1)
        assert len(server.received) == 1
        fairness.held = False
        fairness.give()
        assert (await request)["statusCode"] == 200


async def test_llm_nodes_take_turns() -> None:
    """Their answers come over the same kind of connections."""
    fairness = FairScheduler()
    async with FakeOpenAI() as model, LLMNode(time_slice=fairness.time_slice) as node:
        fairness.held = True
        inputs = {
            "modelName": MODEL,
            "apiKey": "sk",
            "apiHost": model.base_url,
            "prompt": "hi",
            "temperature": 0,
        }
        asked = asyncio.create_task(node.execute(prepare(node, {}, inputs), FakeContext()))
        await fairness.waiting(1)
        assert model.asked == []
        fairness.held = False
        while fairness.asked:
            fairness.give()
        assert await asked == {"result": "You said: hi"}
