"""The development model: an endpoint that OpenAI's own client understands."""

from collections.abc import AsyncIterator

import httpx2
import openai
import pytest

from flowgram_server.fake_openai import MISBEHAVIORS, MODEL, NOTICE, FakeOpenAI, answer_to


@pytest.fixture
async def model() -> AsyncIterator[FakeOpenAI]:
    async with FakeOpenAI() as dev_model:
        yield dev_model


@pytest.fixture
async def client(model: FakeOpenAI) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=model.base_url, api_key="sk-none", max_retries=0) as openai_client:
        yield openai_client


async def ask(client: openai.AsyncOpenAI, model: str = MODEL, prompt: str = "one two") -> str | None:
    completion = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}]
    )
    return completion.choices[0].message.content


async def stream(client: openai.AsyncOpenAI, model: str = MODEL, prompt: str = "one two") -> list[str]:
    chunks = await client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": prompt}], stream=True
    )
    return [chunk.choices[0].delta.content or "" async for chunk in chunks]


def test_answers_follow_from_the_conversation() -> None:
    """From the last user message, and the system message if there is one."""
    user = {"role": "user", "content": "hello"}
    assert answer_to([{"role": "user", "content": "before"}, user]) == "You said: hello"
    assert answer_to([{"role": "system", "content": "a pirate"}, user]) == "You said: hello (as: a pirate)"
    assert answer_to([{"role": "user", "content": [{"type": "text", "text": "parts"}]}]) == "You said: parts"
    assert answer_to([]) == "You said: "


async def test_it_answers_whole_and_in_words(model: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    """The same text either way; what was asked can be looked at."""
    assert await ask(client) == "You said: one two"
    assert await stream(client) == ["", "You", " said:", " one", " two", ""]
    assert [bool(asked.body.get("stream")) for asked in model.asked] == [False, True]
    assert model.asked[0].headers["authorization"] == "Bearer sk-none"


async def test_it_says_what_it_is(model: FakeOpenAI, client: openai.AsyncOpenAI) -> None:
    """Loudly, wherever one may look; its list of models names those that misbehave."""
    models = [entry async for entry in client.models.list()]
    assert [entry.id for entry in models] == [MODEL, *MISBEHAVIORS]
    assert {entry.owned_by for entry in models} == {NOTICE}
    async with httpx2.AsyncClient() as browser:
        home = await browser.get(model.base_url.removesuffix("v1"))
    assert home.json()["notice"] == NOTICE
    assert "development" in NOTICE


@pytest.mark.parametrize(("name", "status"), [("error-401", 401), ("error-429", 429), ("error-500", 500)])
async def test_errors_have_the_shape_of_openai(client: openai.AsyncOpenAI, name: str, status: int) -> None:
    """With message, type and code."""
    for talk in (ask, stream):
        with pytest.raises(openai.APIStatusError) as caught:
            await talk(client, name)
        assert caught.value.status_code == status
        assert isinstance(caught.value.body, dict)
        assert caught.value.body.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("name", ["error-429-once", "error-500-once"])
async def test_some_errors_pass(client: openai.AsyncOpenAI, name: str) -> None:
    """The second time it answers; another conversation is refused first again."""
    for prompt in ("a", "b", "a"):
        with pytest.raises(openai.APIStatusError):
            await ask(client, name, prompt)
        assert await ask(client, name, prompt) == f"You said: {prompt}"


async def test_an_answer_may_be_empty(client: openai.AsyncOpenAI) -> None:
    """Whole or streamed."""
    assert await ask(client, "empty") == ""
    assert "".join(await stream(client, "empty")) == ""


@pytest.mark.parametrize("name", ["break-mid-stream", "error-in-stream"])
async def test_streams_may_break(client: openai.AsyncOpenAI, name: str) -> None:
    """After the first word, by a lost connection or by an error in the stream."""
    with pytest.raises(openai.APIError):
        await stream(client, name)


@pytest.mark.parametrize("name", ["slow", "never"])
async def test_it_stops_while_somebody_waits(name: str) -> None:
    """Answers that never end do not hold up its end."""
    async with FakeOpenAI() as model:
        client = openai.AsyncOpenAI(base_url=model.base_url, api_key="x", max_retries=0, timeout=0.2)
        async with client:
            with pytest.raises(openai.APITimeoutError):
                await stream(client, name)


async def test_nonsense_is_refused(model: FakeOpenAI) -> None:
    """What is no chat completion request gets an error that says what is missing."""
    async with httpx2.AsyncClient(base_url=model.base_url) as browser:
        for content in (b"no json", b"[]", b'{"model": "m"}', b'{"messages": []}'):
            response = await browser.post("/chat/completions", content=content)
            assert response.status_code == 400
            assert response.json()["error"]["message"]


async def test_a_port_in_use_is_an_error(model: FakeOpenAI) -> None:
    """Reported when it is entered, before anything is served."""
    port = int(model.base_url.rpartition(":")[2].removesuffix("/v1"))
    with pytest.raises(OSError, match="in use"):
        await FakeOpenAI(port=port).__aenter__()
