"""llm: one chat completion of an OpenAI-compatible API, streamed.

Inputs: `modelName`, `apiKey`, `apiHost`, `temperature`, `prompt`, and `systemPrompt` if there is one. Output: `result`, the
text. Watchers who asked for it see the text as it comes.
"""

import re
from collections.abc import Iterator
from typing import Any, Self
from urllib.parse import quote

import httpx2
import openai
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

from flowgram_runtime.engine.errors import NodeError
from flowgram_runtime.engine.node_type import Call, CallBehavior, RunScope, Trusted
from flowgram_runtime.modeling import javascript, json_text
from flowgram_runtime.modeling.document import Node
from flowgram_runtime.modeling.json_text import JSONObject
from flowgram_runtime.nodes.executor import CallContext
from flowgram_runtime.nodes.http_url import parse_url, scheme_of, to_utf8
from flowgram_runtime.nodes.llm_clients import LLMClients
from flowgram_runtime.nodes.node_settings import LLMSettings
from flowgram_runtime.nodes.paced_network import Turn, at_once

_KEY = re.compile(r"[\x21-\x7e]+")
_MAX_ERROR_LENGTH = 2000


class LLMNode(Trusted):
    """The node type `llm`. An async context manager: its connections end with it.

    Args:
        settings: How calls are made.
        turn: Lets its connections take turns with all else that would hold the event loop.

    Attributes:
        type: `llm`.
    """

    type = "llm"

    def __init__(self, settings: LLMSettings | None = None, *, turn: Turn = at_once) -> None:
        self._settings = settings or LLMSettings()
        self._clients = LLMClients(self._settings, turn)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._clients.aclose()

    def bind(self, node: Node) -> CallBehavior:  # noqa: ARG002 - everything is in the inputs
        """Checks the inputs each time the node runs."""
        return CallBehavior(_prepare)

    async def execute(self, call: Call, context: CallContext) -> JSONObject:
        """Asks the API, shows the text as it comes, and gives it whole.

        Raises:
            NodeError: The API cannot be reached, or it answers with an error, which is shown without the key.
        """
        inputs = call.inputs
        api_key = javascript.to_string(inputs["apiKey"]).strip()
        try:
            return {"result": await self._complete(inputs, api_key, context)}
        except NodeError as error:
            # The host masks the input as it stands; this is the key as it was sent.
            raise NodeError(str(error).replace(api_key, "…")) from error

    async def _complete(self, inputs: JSONObject, api_key: str, context: CallContext) -> str:
        if not _KEY.fullmatch(api_key):
            raise NodeError('LLM node input "apiKey" has characters that no key can have')
        host = inputs["apiHost"]
        async with self._clients.client(str(parse_url(host))) as client:
            answer = _Answer(self._settings.max_answer_bytes)
            try:
                async with client.with_options(
                    api_key=api_key
                ).chat.completions.with_streaming_response.create(
                    model=javascript.to_string(inputs["modelName"]),
                    messages=_messages(inputs),
                    temperature=inputs["temperature"],
                    stream=True,
                    extra_headers={
                        # Headers are ASCII, node ids are not.
                        "Idempotency-Key": quote(
                            context.idempotency_key, safe="/[]:", errors="surrogatepass"
                        ),
                    },
                ) as response:
                    answer.begun = True
                    if response.headers.get("content-type", "").startswith("application/json"):
                        # An API that does not stream, though it was asked to.
                        context.emit_delta(answer.add(_text_of_completion(await response.read())))
                    else:
                        async for chunk in await response.parse():
                            for text in _texts(chunk):
                                context.emit_delta(answer.add(text))
            except openai.APITimeoutError as error:
                raise NodeError("Request timed out.") from error
            except (openai.APIConnectionError, httpx2.HTTPError) as error:
                if answer.begun:
                    raise NodeError(f'Network error: the answer of api "{host}" broke off') from error
                raise NodeError(f'Network error: unreachable api "{host}"') from error
            except openai.APIStatusError as error:
                raise NodeError(_describe(error)) from error
            except openai.OpenAIError as error:
                raise NodeError(str(error)[:_MAX_ERROR_LENGTH]) from error
            except (ValueError, TypeError, AttributeError) as error:
                # What the API answers is parsed without checks: these are its mistakes.
                raise NodeError(f'The answer of api "{host}" is not a chat completion') from error
        return "".join(answer.parts)


class _Answer:
    """An answer as far as it has come.

    Attributes:
        begun: Whether the API has answered at all.
        parts: The pieces of the text.
    """

    def __init__(self, max_bytes: int) -> None:
        self.begun = False
        self.parts: list[str] = []
        self._size = 0
        self._max_bytes = max_bytes

    def add(self, text: str) -> str:
        """Takes a piece and gives it back. Raises `NodeError` where the answer is too long."""
        self._size += len(text.encode("utf-8", "surrogatepass"))
        if self._size > self._max_bytes:
            raise NodeError(f"The answer is longer than the limit llm.max_answer_bytes = {self._max_bytes}")
        self.parts.append(text)
        return text


def _prepare(scope: RunScope, inputs: JSONObject) -> JSONObject:  # noqa: ARG001
    """The inputs as they are, if they suffice. Raises `NodeError`."""
    missing = [
        name
        for name in ("modelName", "temperature", "apiKey", "apiHost", "prompt")
        if (inputs.get(name) is None if name == "temperature" else not javascript.truthy(inputs.get(name)))
    ]
    if missing:
        names = '", "'.join(missing)
        raise NodeError(f'LLM node missing required inputs: "{names}"')
    host = inputs["apiHost"]
    if not isinstance(host, str):
        raise NodeError(f"Invalid API host format - {javascript.to_string(host)}")
    scheme = scheme_of(host)
    if scheme not in {"http", "https"}:
        raise NodeError(f"Invalid API host protocol - {scheme}:")
    parse_url(host)
    return inputs


def _messages(inputs: JSONObject) -> list[ChatCompletionMessageParam]:
    messages: list[ChatCompletionMessageParam] = []
    system_prompt = inputs.get("systemPrompt")
    if javascript.truthy(system_prompt):
        messages.append({"role": "system", "content": _content(system_prompt)})
    messages.append({"role": "user", "content": _content(inputs["prompt"])})
    return messages


def _content(prompt: Any) -> Any:
    """A prompt as the API takes it: a text, or a list of content parts."""
    # Half a surrogate pair has no form that could be sent.
    return prompt if isinstance(prompt, list) else to_utf8(javascript.to_string(prompt)).decode()


def _texts(chunk: ChatCompletionChunk) -> Iterator[str]:
    """The pieces of text in a chunk: none in the first and the last, nor in one that carries the usage of tokens."""
    for choice in chunk.choices or ():
        if choice.index == 0 and choice.delta.content:
            yield choice.delta.content


def _text_of_completion(body: bytes) -> str:
    """The text of an answer that was not streamed. Raises errors of types that `_complete` knows."""
    completion: Any = json_text.loads(body)
    try:
        return completion["choices"][0]["message"]["content"] or ""
    except LookupError as error:
        raise ValueError("no message") from error


def _describe(error: openai.APIStatusError) -> str:
    """An API's error as OpenAI's JavaScript library prints it, which is what FlowGram shows."""
    body: Any = error.body
    message = body.get("message") if isinstance(body, dict) else body
    if not message:
        message = body or "status code (no body)"
    text = message if isinstance(message, str) else json_text.dumps(message)
    return f"{error.status_code} {text}"[:_MAX_ERROR_LENGTH]
