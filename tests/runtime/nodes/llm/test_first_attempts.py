"""Requests whose first attempt is made without the openai package: they are the package's requests, and fail as those do."""

import json

import pytest
from support.llm_node import KEY, inputs_of
from support.node_calls import FakeContext, prepare
from support.pieces import PieceResponse
from support.raw_http import RawServer, Received, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.llm.answer import Answer
from flowgram_core.nodes.llm.api_response import APIResponse
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.network.held_bytes import HeldBytes
from flowgram_core.nodes.network.transport import at_once
from flowgram_core.nodes.node_settings import LLMSettings
from flowgram_server.fake_openai import FakeOpenAI

COMPLETION = response(b'{"choices": [{"message": {"content": "x"}}]}', Content_Type="application/json")


EVENT_STREAM = [(b"content-type", b"Text/Event-Stream; charset=utf-8")]


async def ask_twice(node: LLMNode, host: str, **second: object) -> dict[str, object]:
    """What a second request gives, which the package does not make."""
    await node.execute(prepare(node, {}, inputs_of(host)), FakeContext())
    return await node.execute(prepare(node, {}, inputs_of(host, **second)), FakeContext())


async def test_requests_are_those_of_the_package() -> None:
    """Byte for byte the same bodies and headers, but for what says that it is another request."""
    async with RawServer(COMPLETION) as server, LLMNode() as node:
        await ask_twice(node, server.url, prompt="hello there", temperature=0.5)
        await ask_twice(node, server.url, prompt="h\u00e4llo\n", temperature=0.5, apiKey="sk-other")
    first, second, third, other = server.received
    assert first.headers == second.headers | {"content-length": first.headers["content-length"]}
    assert first.body == third.body == second.body.replace(b"0.5", b"0")
    assert first.headers["x-stainless-retry-count"] == "0"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert other.headers["authorization"] == "Bearer sk-other"
    assert json.loads(other.body)["messages"] == [{"role": "user", "content": "h\u00e4llo\n"}]
    assert int(other.headers["content-length"]) == len(other.body)


async def test_without_a_key_none_is_sent() -> None:
    """Also where the request before had one."""
    async with RawServer(COMPLETION) as server, LLMNode() as node:
        await ask_twice(node, server.url, apiKey="")
    assert "authorization" not in server.received[1].headers


@pytest.mark.parametrize("name", ["error-429-once", "error-500-once"])
async def test_passing_errors_are_tried_again(name: str) -> None:
    """By the package, which counts the first attempt; all have the same idempotency key."""
    async with FakeOpenAI() as model, LLMNode() as node:
        assert await ask_twice(node, model.base_url, modelName=name) == {"result": "You said: hello there"}
        asked = list(model.asked)[1:]
    assert [each.headers["x-stainless-retry-count"] for each in asked] == ["0", "1"]
    assert asked[0].body == asked[1].body
    assert asked[0].headers["idempotency-key"] == asked[1].headers["idempotency-key"]


@pytest.mark.parametrize(("name", "attempts"), [("error-401", 1), ("error-500", 3)])
async def test_lasting_errors_are_reported(name: str, attempts: int) -> None:
    """After as many attempts as the package makes, with its text, and without the key."""
    async with FakeOpenAI() as model, LLMNode(LLMSettings(max_retries=2)) as node:
        with pytest.raises(NodeError) as caught:
            await ask_twice(node, model.base_url, modelName=name)
        assert str(caught.value).startswith(name.removeprefix("error-"))
        assert KEY not in str(caught.value)
        assert len(model.asked) == 1 + attempts


async def test_a_connection_that_fails_is_tried_again() -> None:
    """The first failure counts, whatever follows it."""
    answers = [COMPLETION, b"", COMPLETION]

    async def answer(_: Received) -> bytes:
        return answers.pop(0)

    async with RawServer(answer) as server, LLMNode() as node:
        assert await ask_twice(node, server.url) == {"result": "x"}
    assert [received.headers["x-stainless-retry-count"] for received in server.received] == ["0", "0", "1"]


async def test_an_unreachable_host_is_reported() -> None:
    """As of the first request."""
    async with LLMNode(LLMSettings(max_retries=0)) as node:
        async with RawServer(COMPLETION) as server:
            await node.execute(prepare(node, {}, inputs_of(server.url)), FakeContext())
        call = prepare(node, {}, inputs_of(server.url))
        with pytest.raises(NodeError, match=f'^Network error: unreachable api "{server.url}"$'):
            await node.execute(call, FakeContext())


async def test_silence_ends_at_the_time_limit() -> None:
    """As of the first request."""
    async with FakeOpenAI() as model, LLMNode(LLMSettings(read_timeout=0.2, max_retries=0)) as node:
        with pytest.raises(NodeError, match=r"^Request timed out\.$"):
            await ask_twice(node, model.base_url, modelName="never")


async def test_text_is_shown_as_it_comes() -> None:
    """Each piece as one delta, whether it has one word or several, and also where an error follows."""
    shown: list[str] = []
    words = [f'data: {{"choices": [{{"delta": {{"content": "{word}"}}}}]}}\n\n'.encode() for word in "abcd"]
    broken = b'data: {"error": {"message": "The model broke down."}}\n\n'
    body = PieceResponse(EVENT_STREAM, [words[0], words[1] + words[2][:9], words[2][9:], words[3] + broken])
    with pytest.raises(NodeError, match="The model broke down"):
        await Answer("host", 100, shown.append).read(APIResponse(body, at_once), HeldBytes(1000, "x").open())
    assert shown == ["a", "b", "c", "d"]
    shown.clear()
    body = PieceResponse(EVENT_STREAM, [words[0] + words[1], words[2] + b"data: [DONE]\n\n"])
    assert (
        await Answer("host", 100, shown.append).read(APIResponse(body, at_once), HeldBytes(1000, "x").open())
        == "abc"
    )
    assert shown == ["ab", "c"]
