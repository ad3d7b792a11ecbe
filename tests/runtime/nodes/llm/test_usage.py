"""llm: the tokens that an API says it used."""

from typing import Any

import pytest
from support.llm_node import inputs_of
from support.node_calls import FakeContext, prepare

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.llm.usage import TokenUsage, usage_of
from flowgram_server.fake_openai import MODEL, FakeOpenAI


@pytest.mark.parametrize(
    ("completion", "expected"),
    [
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 5}}, TokenUsage(3, 5)),
        ({"usage": {"prompt_tokens": 3}}, TokenUsage(3, None)),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 2**80}}, TokenUsage(None, None)),
        ({"usage": {"prompt_tokens": True, "completion_tokens": "5"}}, TokenUsage(None, None)),
        ({"usage": None}, None),
        ({"usage": [1]}, None),
        ({}, None),
    ],
)
def test_what_counts_as_usage(completion: dict[str, Any], expected: TokenUsage | None) -> None:
    """Numbers of tokens; nothing else that an API may send."""
    assert usage_of(completion) == expected


async def test_nobody_listens() -> None:
    """The API is not asked for what nobody wants to know."""
    async with FakeOpenAI() as model:
        async with LLMNode() as node:
            await node.execute(prepare(node, {}, inputs_of(model.base_url)), FakeContext())
        assert "stream_options" not in model.asked[0].body


async def test_an_api_that_does_not_tell() -> None:
    """It refuses to, is asked without, and the next time at once without; the answer comes, in pieces as always."""
    recorded: list[tuple[str, TokenUsage]] = []
    async with (
        FakeOpenAI() as model,
        LLMNode(on_usage=lambda name, usage: recorded.append((name, usage))) as node,
    ):
        for name in ("no-usage", "no-usage", MODEL):
            context = FakeContext(idempotency_key="k")
            call = prepare(node, {}, inputs_of(model.base_url, modelName=name))
            assert await node.execute(call, context) == {"result": "You said: hello there"}
            assert "".join(context.deltas) == "You said: hello there"
        asked = [
            (each.body["model"], "stream_options" in each.body, each.headers["idempotency-key"])
            for each in model.asked
        ]
    assert asked == [
        ("no-usage", True, "k#usage"),
        ("no-usage", False, "k"),
        ("no-usage", False, "k"),
        (MODEL, True, "k#usage"),
    ]
    assert recorded == [("no-usage", TokenUsage()), ("no-usage", TokenUsage()), (MODEL, TokenUsage(2, 4))]


async def test_other_errors_are_not_asked_about_again() -> None:
    """A key that is refused is refused once."""
    async with FakeOpenAI() as model, LLMNode(on_usage=lambda _, __: None) as node:
        with pytest.raises(NodeError, match=r"^401 "):
            await node.execute(
                prepare(node, {}, inputs_of(model.base_url, modelName="error-401")), FakeContext()
            )
        assert len(model.asked) == 1
