"""The development model: a small OpenAI-compatible endpoint, for development and tests ONLY.

It is no model. Its answers follow from the question by a fixed rule, so that workflows with llm nodes run without a key and
without a network, and tests know what to expect. Certain model names make it misbehave (`MISBEHAVIORS`).
"""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Self

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from flowgram_server.address import address_of, listen_on
from flowgram_server.http_listener import listening

NOTICE: Final = "flowgram development model: answers follow from the question by a fixed rule. For development and tests only."

MODEL: Final = "flowgram-dev"
DEFAULT_PORT: Final = 18231

_GRACE: Final = 1
"""Seconds that answers get to end."""

MISBEHAVIORS: Final[Mapping[str, str]] = {
    "error-401": "refuses the key",
    "error-429": "refuses every request for its rate",
    "error-429-once": "refuses every other request of the same messages for its rate, beginning with the first",
    "error-500": "fails",
    "error-500-once": "fails every other request of the same messages, beginning with the first",
    "error-in-stream": "sends an error after the first word",
    "break-mid-stream": "breaks the connection after the first word",
    "slow": "is silent after the first word",
    "never": "never answers",
    "no-usage": "refuses to tell the tokens of a streamed answer",
    "empty": "answers with an empty text",
}
"""Names of models, and what such a model does. Every other name answers."""

_ERRORS: Final = {
    "error-401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided: {key}."),
    "error-429": (429, "requests", "rate_limit_exceeded", "Rate limit reached."),
    "error-500": (500, "server_error", None, "The server had an error while processing your request."),
}
_ONCE: Final = "-once"

Sleep = Callable[[float], Awaitable[None]]


def answer_to(messages: list[Any]) -> str:
    """The answer to a conversation: `You said: …` with the last user message, `(as: …)` with the system message."""
    texts = [
        (message.get("role"), _text(message.get("content")))
        for message in messages
        if isinstance(message, dict)
    ]
    said = next((text for role, text in reversed(texts) if role == "user"), "")
    system = next((text for role, text in texts if role == "system"), "")
    return f"You said: {said}" + (f" (as: {system})" if system else "")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came.

    Attributes:
        body: The chat completion request.
        headers: By their names in lower case.
    """

    body: Mapping[str, Any]
    headers: Mapping[str, str]


class Endpoint:
    """What the endpoint does.

    Args:
        delay: Seconds before each word.
        sleep: Waits so many seconds.

    Attributes:
        asked: The last requests, oldest first.
        stopping: Set when open answers must end.
    """

    def __init__(self, *, delay: float = 0, sleep: Sleep = asyncio.sleep) -> None:
        self._delay = delay
        self._sleep = sleep
        self._refused: set[str] = set()
        self.asked: deque[Asked] = deque(maxlen=100)
        self.stopping = asyncio.Event()

    async def models(self, request: Request) -> Response:  # noqa: ARG002 - Starlette calls it so
        """`GET /v1/models`."""
        names = (MODEL, *MISBEHAVIORS)
        data = [{"id": name, "object": "model", "created": 0, "owned_by": NOTICE} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        try:
            body = json.loads(await request.body())
        except ValueError:
            return _error(400, "invalid_request_error", None, "The body of the request is not JSON.")
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list) or not body.get("model"):
            return _error(400, "invalid_request_error", None, "`model` and `messages` are required.")
        self.asked.append(Asked(body, dict(request.headers)))
        model = str(body["model"])
        failure = _ERRORS.get(model.removesuffix(_ONCE))
        if failure is not None and (not model.endswith(_ONCE) or self._is_refused(body)):
            status, kind, code, message = failure
            return _error(
                status, kind, code, message.format(key=request.headers.get("authorization", "")[7:])
            )
        if model == "never":
            await self._until_it_ends(request.receive)
            return Response(status_code=503)
        if model == "no-usage" and "stream_options" in body:
            return _error(400, "invalid_request_error", None, "Unrecognized request argument: stream_options")
        text = "" if model == "empty" else answer_to(body["messages"])
        usage = _usage(body["messages"], text)
        if body.get("stream"):
            options = body.get("stream_options")
            tells = isinstance(options, dict) and bool(options.get("include_usage"))
            return _Stream(self, model, text, usage if tells else None)
        await self._sleep(self._delay)
        return JSONResponse(
            {
                "id": "chatcmpl-dev",
                "object": "chat.completion",
                "created": 0,
                "model": model,
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"},
                ],
                "usage": usage,
            }
        )

    async def send_stream(
        self, model: str, text: str, usage: Mapping[str, int] | None, receive: Receive, send: Send
    ) -> None:
        """Sends the events of a streamed answer, word by word, and then what it has used."""
        await _send_event(send, _chunk(model, {"role": "assistant", "content": ""}))
        for index, word in enumerate(_words(text)):
            if index == 1 and model == "break-mid-stream":
                # Uvicorn closes the connection of an answer that was not ended.
                return
            if index == 1 and model == "slow":
                await self._until_it_ends(receive)
                return
            if index == 1 and model == "error-in-stream":
                await _send_event(
                    send, {"error": {"message": "The model broke down.", "type": "server_error"}}
                )
                break
            await self._sleep(self._delay)
            await _send_event(send, _chunk(model, {"content": word}))
        else:
            await _send_event(send, _chunk(model, {}, "stop"))
            if usage is not None:
                await _send_event(send, {**_chunk(model, {}), "choices": [], "usage": usage})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    def _is_refused(self, body: Mapping[str, Any]) -> bool:
        key = json.dumps([body["model"], body["messages"]])
        if key in self._refused:
            self._refused.remove(key)
            return False
        self._refused.add(key)
        return True

    async def _until_it_ends(self, receive: Receive) -> None:
        """Waits until the client is gone, or the endpoint stops."""

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        waiting = {asyncio.ensure_future(gone()), asyncio.ensure_future(self.stopping.wait())}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


class _Stream(Response):
    """A streamed answer, which may also break off: Starlette's own always end."""

    def __init__(self, endpoint: Endpoint, model: str, text: str, usage: Mapping[str, int] | None) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self._endpoint = endpoint
        self._model = model
        self._answer = text
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await self._endpoint.send_stream(self._model, self._answer, self._usage, receive, send)


def _usage(messages: list[Any], answer: str) -> dict[str, int]:
    """A word counts as a token."""
    contents = (_text(message.get("content")) for message in messages if isinstance(message, dict))
    asked, answered = sum(len(text.split()) for text in contents), len(answer.split())
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
    }


def _words(text: str) -> Iterator[str]:
    """The words of a text, each with the blank before it."""
    for index, word in enumerate(text.split(" ") if text else ()):
        yield f" {word}" if index else word


def _chunk(model: str, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-dev",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


async def _send_event(send: Send, event: dict[str, Any]) -> None:
    data = f"data: {json.dumps(event)}\n\n".encode()
    await send({"type": "http.response.body", "body": data, "more_body": True})


def _error(status: int, kind: str, code: str | None, message: str) -> Response:
    return JSONResponse(
        {"error": {"message": message, "type": kind, "param": None, "code": code}},
        status_code=status,
        # Who tries again need not wait: there is no load to spare.
        headers={"retry-after-ms": "1"} if status in {429, 500} else None,
    )


async def _home(request: Request) -> Response:  # noqa: ARG001 - Starlette calls it so
    return JSONResponse({"notice": NOTICE, "models": {MODEL: "answers", **MISBEHAVIORS}})


def create_app(endpoint: Endpoint) -> Starlette:
    """The endpoint as an ASGI application."""
    return Starlette(
        routes=[
            Route("/", _home),
            Route("/v1/models", endpoint.models),
            Route("/v1/chat/completions", endpoint.complete, methods=["POST"]),
        ]
    )


class FakeOpenAI:
    """The development model, served on the running event loop. An async context manager.

    Args:
        host: Where to listen.
        port: 0 for any that is free.
        delay: Seconds before each word.

    Attributes:
        base_url: What to give llm nodes as `apiHost`; once it is entered.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0, *, delay: float = 0) -> None:
        self._host = host
        self._port = port
        self._endpoint = Endpoint(delay=delay)
        self._serving = AsyncExitStack()
        self.base_url = ""

    @property
    def asked(self) -> list[Asked]:
        """The last requests, oldest first."""
        return list(self._endpoint.asked)

    async def __aenter__(self) -> Self:
        """Listens. Raises `OSError` where the address cannot be used."""
        listener = listen_on(self._host, self._port)
        self.base_url = f"http://{address_of(listener)}/v1"
        app = create_app(self._endpoint)
        await self._serving.enter_async_context(listening(app, listener, grace=_GRACE))
        return self

    async def __aexit__(self, *failure: object) -> None:
        self._endpoint.stopping.set()
        await self._serving.aclose()
