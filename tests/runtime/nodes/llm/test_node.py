"""llm: what is asked of the API, what the node gives, and how it fails."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.llm_node import KEY, ask, failure, inputs_of
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, never, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.node_settings import LLMSettings
from flowgram_server.fake_openai import MODEL, FakeOpenAI


@pytest.fixture
async def model() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as dev_model:
        yield dev_model


async def test_the_answer_is_the_result_and_comes_in_pieces(model: FakeOpenAI) -> None:
    """The output is the whole text, and so is all that watchers get."""
    context = FakeContext()
    assert await ask(model.base_url, context=context) == {"result": "You said: hello there"}
    assert "".join(context.deltas) == "You said: hello there"


async def test_what_is_asked(model: FakeOpenAI) -> None:
    """Model, messages, a temperature of 0 too; the key, and the call's key for those who know such keys."""
    await ask(model.base_url, context=FakeContext(idempotency_key="task/7"))
    (asked,) = model.asked
    assert asked.body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello there"}],
        "temperature": 0,
        "stream": True,
    }
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["idempotency-key"] == "task/7"


async def test_ids_of_any_script_make_a_key(model: FakeOpenAI) -> None:
    """The key of a call holds node ids, which need not be ASCII, as headers must be."""
    await ask(model.base_url, context=FakeContext(idempotency_key="task/größe[3]/llm 1\ud800"))
    (asked,) = model.asked
    assert asked.headers["idempotency-key"] == "task/gr%C3%B6%C3%9Fe[3]/llm%201%ED%A0%80"


async def test_half_a_surrogate_pair_is_replaced(model: FakeOpenAI) -> None:
    """It has no UTF-8, and a prompt is sent as such."""
    assert await ask(model.base_url, prompt="\ud83d!") == {"result": "You said: \ufffd!"}
    parts = [{"type": "text", "text": "\ud83d!"}]
    assert await ask(model.base_url, prompt=parts, modelName="\udfff") == {"result": "You said: \ufffd!"}


@pytest.mark.parametrize(
    ("system_prompt", "answer"), [("be kind", "You said: hi (as: be kind)"), ("", "You said: hi")]
)
async def test_the_system_prompt_comes_first(model: FakeOpenAI, system_prompt: str, answer: str) -> None:
    """Unless it is empty."""
    assert await ask(model.base_url, prompt="hi", systemPrompt=system_prompt) == {"result": answer}
    roles = [message["role"] for message in model.asked[0].body["messages"]]
    assert roles == (["system", "user"] if system_prompt else ["user"])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, 'LLM node missing required inputs: "modelName", "temperature", "apiHost", "prompt"'),
        (inputs_of("http://h", temperature=None), 'LLM node missing required inputs: "temperature"'),
        (
            inputs_of("http://h", prompt="", modelName=""),
            'LLM node missing required inputs: "modelName", "prompt"',
        ),
        (inputs_of("nowhere"), "Invalid URL"),
        (inputs_of("http://"), "Invalid URL"),
        (inputs_of("ftp://h/"), "Invalid API host protocol - ftp:"),
        (inputs_of("localhost:8000"), "Invalid API host protocol - localhost:"),
        (inputs_of(5), "Invalid API host format - 5"),  # type: ignore[arg-type]  # what a schema may hold
    ],
)
def test_inputs_are_checked_in_order(inputs: dict[str, Any], message: str) -> None:
    """Before anything is called, with FlowGram's texts. A temperature of 0 is there."""
    with pytest.raises(NodeError) as caught:
        prepare(LLMNode(), {}, inputs)
    assert str(caught.value) == message


def test_the_snapshot_shows_the_inputs() -> None:
    """As they are, whatever else there is."""
    inputs = inputs_of("http://h/v1", other=1)
    assert prepare(LLMNode(), {}, inputs).inputs == inputs


async def test_a_wrong_key_is_reported_without_the_key(model: FakeOpenAI) -> None:
    """The API repeats the key in its error; the node does not."""
    assert await failure(model.base_url, modelName="error-401") == "401 Incorrect API key provided: …."
    assert len(model.asked) == 1


@pytest.mark.parametrize("key", [None, "", 0, False])
async def test_without_a_key_none_is_sent(model: FakeOpenAI, key: Any) -> None:
    """As local models are asked."""
    assert await ask(model.base_url, apiKey=key) == {"result": "You said: hello there"}
    (asked,) = model.asked
    assert "authorization" not in asked.headers


@pytest.mark.parametrize(("seconds", "tries"), [("0.01", 2), ("120", 2), ("121", 1), ("soon", 2)])
async def test_retry_after_is_honored_up_to_two_minutes(
    monkeypatch: pytest.MonkeyPatch, seconds: str, tries: int
) -> None:
    """What asks for more than that is an error at once."""
    slept: list[float] = []

    async def sleep(delay: float) -> None:
        slept.append(delay)

    monkeypatch.setattr("anyio.sleep", sleep)
    body = b'{"error": {"message": "Slow down"}}'
    async with RawServer(response(body, "429 Too Many", Retry_After=seconds)) as server:
        assert await failure(server.url, LLMSettings(max_retries=1)) == "429 Slow down"
        assert len(server.received) == tries
    if tries == 2 and seconds != "soon":
        assert slept == [float(seconds)]


@pytest.mark.parametrize("name", ["error-429-once", "error-500-once"])
async def test_passing_errors_are_tried_again(model: FakeOpenAI, name: str) -> None:
    """Refusals for the rate, and failures of the API."""
    assert await ask(model.base_url, modelName=name) == {"result": "You said: hello there"}
    assert [asked.headers["idempotency-key"] for asked in model.asked] == ["task-1/node_0"] * 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("error-429", "429 Rate limit reached."),
        ("error-500", "500 The server had an error while processing your request."),
    ],
)
async def test_lasting_errors_are_reported_after_three_retries(
    model: FakeOpenAI, name: str, message: str
) -> None:
    """With status and message, as OpenAI's JavaScript library prints them."""
    assert await failure(model.base_url, modelName=name) == message
    assert len(model.asked) == 4


async def test_an_unreachable_host_is_reported() -> None:
    """With FlowGram's text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    assert await failure(host, LLMSettings(max_retries=0)) == f'Network error: unreachable api "{host}"'


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("break-mid-stream", 'Network error: the answer of api "{host}" broke off'),
        ("error-in-stream", "The model broke down."),
    ],
)
async def test_a_stream_that_breaks_is_an_error(model: FakeOpenAI, name: str, message: str) -> None:
    """What had come is no answer, and a part of one is not tried again."""
    assert await failure(model.base_url, modelName=name) == message.format(host=model.base_url)
    assert len(model.asked) == 1


async def test_an_answer_may_be_empty(model: FakeOpenAI) -> None:
    """Then the result is the empty text."""
    context = FakeContext()
    assert await ask(model.base_url, context=context, modelName="empty") == {"result": ""}
    assert context.deltas == []


@pytest.mark.parametrize("name", ["slow", "never"])
async def test_silence_ends_at_the_time_limit(model: FakeOpenAI, name: str) -> None:
    """Before the first word and between two."""
    settings = LLMSettings(read_timeout=0.2, max_retries=0)
    assert await failure(model.base_url, settings, modelName=name) == "Request timed out."


@pytest.mark.parametrize("name", ["slow", "never"])
async def test_cancelling_closes_the_connection(name: str) -> None:
    """The API sees the end of a request that is no longer wanted."""
    chunk = b'data: {"choices": [{"index": 0, "delta": {"content": "word"}}]}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + chunk if name == "slow" else b""
    async with RawServer(never, head=head) as server:
        asking = asyncio.create_task(ask(server.url))
        await server.arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await server.closed.wait()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"error": {"message": "Bad model"}}', "404 Bad model"),
        (b'{"error": {"message": {"a": 1}}}', '404 {"a":1}'),
        (b'{"detail": "Not here"}', '404 {"detail":"Not here"}'),
        (b"plain text", "404 plain text"),
        (b"", "404 status code (no body)"),
    ],
)
async def test_errors_of_other_apis_are_reported(body: bytes, message: str) -> None:
    """Whatever their shape."""
    async with RawServer(response(body, "404 Not Found", Content_Type="application/json")) as server:
        assert await failure(server.url) == message


@pytest.mark.parametrize("key", ["sk-é", "two words", "a\nb"])
async def test_a_key_that_can_be_none_is_refused(model: FakeOpenAI, key: str) -> None:
    """Without telling it; blanks around a key do not matter."""
    message = await failure(model.base_url, apiKey=key)
    assert message == 'LLM node input "apiKey" has characters that no key can have'
    await ask(model.base_url, apiKey=f" {KEY}\n")
    assert model.asked[0].headers["authorization"] == f"Bearer {KEY}"


async def test_private_addresses_can_be_forbidden(model: FakeOpenAI) -> None:
    """As for http nodes."""
    message = await failure(model.base_url, LLMSettings(deny_private=True))
    place = model.base_url.split("/")[2]
    assert message == f'"{place}" is denied by the egress rule "private"'
