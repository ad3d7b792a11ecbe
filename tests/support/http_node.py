"""Runs http nodes with the requests that a test describes."""

from typing import Any

import pytest

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call
from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.node_settings import HTTPSettings
from support.node_calls import FakeContext, make_node


class Sleeps:
    """Waits for nothing, and keeps for how long it should have."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


async def execute(
    node: HTTPNode, url: str, *, context: FakeContext | None = None, **more: Any
) -> dict[str, Any]:
    inputs = {
        "method": "GET",
        "url": url,
        "headers": {},
        "params": {},
        "bodyType": "none",
        "body": "",
        "retryTimes": 0,
        "timeout": 20_000,
        **more,
    }
    return await node.execute(Call("node_0", make_node("http", {}), inputs), context or FakeContext())


async def send(url: str, settings: HTTPSettings | None = None, **more: Any) -> dict[str, Any]:
    async with HTTPNode(settings) as node:
        return await execute(node, url, **more)


async def failure(url: str, settings: HTTPSettings | None = None, **more: Any) -> str:
    with pytest.raises(NodeError) as caught:
        await send(url, settings, **more)
    return str(caught.value)
