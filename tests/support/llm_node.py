"""Runs llm nodes with the inputs that a test describes."""

from typing import Any

import pytest

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import LLMSettings
from flowgram_server.fake_openai import MODEL
from support.node_calls import FakeContext, prepare

KEY = "sk-secret-0123456789abcdef"


def inputs_of(api_host: str, **more: Any) -> dict[str, Any]:
    inputs = {
        "modelName": MODEL,
        "apiKey": KEY,
        "apiHost": api_host,
        "temperature": 0,
        "prompt": "hello there",
    }
    return {name: value for name, value in {**inputs, **more}.items() if value is not None}


async def ask(
    api_host: str, settings: LLMSettings | None = None, context: FakeContext | None = None, **more: Any
) -> dict[str, Any]:
    async with LLMNode(settings) as node:
        return await node.execute(prepare(node, {}, inputs_of(api_host, **more)), context or FakeContext())


async def failure(api_host: str, settings: LLMSettings | None = None, **more: Any) -> str:
    with pytest.raises(NodeError) as caught:
        await ask(api_host, settings, **more)
    assert KEY not in str(caught.value)
    return str(caught.value)
