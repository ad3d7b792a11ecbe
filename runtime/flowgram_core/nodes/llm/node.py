"""llm: one chat completion of an OpenAI-compatible API, streamed.

Inputs: `modelName`, `apiHost`, `temperature`, `prompt`, and `apiKey` and `systemPrompt` if there are. Output: `result`, the
text. Watchers who asked for it see the text as it comes.
"""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Any, Self
from urllib.parse import quote

from flowgram_core.concurrency.offload import LARGE
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.sizes import size_of
from flowgram_core.nodes.errors import APIRefusal, APITimeout, APIUnreachable
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.http.url import parse_url, scheme_of, to_utf8
from flowgram_core.nodes.llm.answer import MAX_ERROR_LENGTH, Answer
from flowgram_core.nodes.llm.api_client import APIClient
from flowgram_core.nodes.llm.api_response import APIResponse
from flowgram_core.nodes.llm.clients import LLMClients
from flowgram_core.nodes.llm.usage import UsageListener
from flowgram_core.nodes.network.held_bytes import HeldBytes
from flowgram_core.nodes.network.observation import RequestObserver
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.redirects import URLCheck
from flowgram_core.nodes.network.transport import (
    HTTPTransport,
    TimeSlice,
    TransportError,
    TransportTimeout,
    at_once,
)
from flowgram_core.nodes.node_settings import EgressSettings, LLMSettings
from flowgram_core.nodes.workflow_secrets import OpenSecrets, WorkflowSecrets

_KEY = re.compile(r"[\x21-\x7e]+")
_PLAIN = re.compile(r"[\w.~/\[\]:-]*", re.ASCII)
"""Texts that need no quoting."""
_STREAM = re.compile(r"\bstream(?:s|ed|ing)?\b", re.IGNORECASE)
_REFUSALS = frozenset({400, 403, 404, 405, 406, 415, 422, 501})
"""Statuses by which APIs refuse a request for what it asks."""
_UNKNOWN_ARGUMENT = frozenset({400, 422})
_WITH_USAGE = {"stream_options": {"include_usage": True}}
_KNOWN_APIS = 1_000
_LONGEST_API = 1_000


class LLMNode(Trusted):
    """The node type `llm`. An async context manager: its connections end with it.

    Args:
        settings: How calls are made.
        time_slice: Shares the event loop with everything else on it.
        transport: Sends the requests; None: one that keeps to the settings.
        egress: What may be connected to.
        own_ports: The ports that the server listens on.
        secrets: The secrets that workflows may use.
        on_usage: Is notified of the tokens that were used; APIs are then asked to tell them.
        observer: Is notified of each request, and of its tokens, too.

    Attributes:
        type: `llm`.
        answers_from_outside: Its outputs are what somebody else sent, who may have sent secrets back.
    """

    type = "llm"
    answers_from_outside = True

    def __init__(
        self,
        settings: LLMSettings | None = None,
        *,
        time_slice: TimeSlice = at_once,
        transport: HTTPTransport | None = None,
        egress: EgressSettings | None = None,
        own_ports: OwnPorts | None = None,
        secrets: WorkflowSecrets | None = None,
        on_usage: UsageListener | None = None,
        observer: RequestObserver | None = None,
    ) -> None:
        self._settings = settings or LLMSettings()
        self._secrets = secrets or WorkflowSecrets()
        self._on_usage = on_usage
        self._observer = observer
        self._held = HeldBytes(self._settings.max_held_bytes, "llm.max_held_bytes")
        self._asks_usage = on_usage is not None or observer is not None
        self._base_urls: dict[str, str] = {}  # by API host as it is written
        self._tells_usage: OrderedDict[str, bool] = OrderedDict()  # by API host and model, once that is known
        self._clients = LLMClients(self._settings, time_slice, transport, egress=egress, own_ports=own_ports)

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
            NodeError: The API cannot be reached, or it answers with an error, which is shown without the key; or the key is a
                secret that is not for this API.
        """
        inputs = call.inputs
        api_key, opened = self._key(call, context)
        try:
            check = None if opened is None else opened.check
            return {"result": await self._complete(inputs, api_key, context, check)}
        except NodeError as error:
            if not api_key:
                raise
            # The host masks the input as it stands; this is the key as it was sent.
            raise NodeError(str(error).replace(api_key, "…")) from error

    def _key(self, call: Call, context: CallContext) -> tuple[str, OpenSecrets | None]:
        """The key that the call has, or a secret of the server; empty without either."""
        given, uses, namespace = call.inputs.get("apiKey"), call.node.secrets, context.owner.namespace
        if type(given) is str:
            api_key = given.strip()
        else:
            api_key = javascript.to_string(given).strip() if javascript.truthy(given) else ""
        if not uses and (api_key or not self._secrets):
            return api_key, None
        if not api_key and not uses:
            opened = self._secrets.for_host(parse_url(call.inputs["apiHost"]), namespace)
            return "" if opened is None else next(iter(opened.values.values())), opened
        opened = self._secrets.open(uses, namespace)
        # Where the input is not declared as a text, the secret is left out as any other value would be.
        if opened is not None and api_key:
            api_key = opened.fill(api_key, uses["apiKey"]).strip()
        return api_key, opened

    async def _complete(
        self, inputs: JSONObject, api_key: str, context: CallContext, check: URLCheck | None
    ) -> str:
        if api_key and not _KEY.fullmatch(api_key):
            raise NodeError('LLM node input "apiKey" has characters that no key can have')
        host = inputs["apiHost"]
        answer = Answer(host, self._settings.max_answer_bytes, context.emit_delta)
        if size_of(inputs["prompt"], LARGE) > LARGE:
            messages = await asyncio.to_thread(_messages, inputs)
        else:
            messages = _messages(inputs)
        body: JSONObject = {
            "model": _sendable(_to_string(inputs["modelName"])),
            "messages": messages,
            "temperature": _sendable(inputs["temperature"]),
            "stream": True,
        }
        observer = self._observer
        slot = self._clients.client(self._base_url(host), context.owner)
        client = slot.enter_at_once() or await slot.enter()
        try:
            request = _Request(client, body, api_key, _key_header(context.idempotency_key), check)
            if observer is None:
                return await self._asked(request, answer, {})
            with observer.completion(body["model"], parse_url(host)) as exchange:
                try:
                    return await self._asked(request, answer, exchange.headers)
                finally:
                    exchange.used(answer.usage)
        except (APITimeout, TransportTimeout) as error:
            raise NodeError("Request timed out.") from error
        except (APIUnreachable, TransportError) as error:
            if answer.begun:
                raise NodeError(f'Network error: the answer of api "{host}" broke off') from error
            raise NodeError(f'Network error: unreachable api "{host}"') from error
        except APIRefusal as error:
            raise NodeError(_describe(error)) from error
        finally:
            slot.leave()

    def _base_url(self, host: str) -> str:
        """An API host in the form in which all ways to write it are one."""
        known = self._base_urls.get(host)
        if known is None:
            known = str(parse_url(host))
            if len(host) <= _LONGEST_API:
                if len(self._base_urls) >= _KNOWN_APIS:
                    self._base_urls.clear()
                self._base_urls[host] = known
        return known

    async def _asked(self, request: "_Request", answer: Answer, headers: Mapping[str, str]) -> str:
        """The text of the answer. Raises as `complete` and `read` do."""
        response = await self._answered(request, headers)
        try:
            with self._held.open() as share:
                return await answer.read(response, share)
        finally:
            if self._on_usage is not None:
                self._on_usage(request.body["model"], answer.usage)
            response.close()

    async def _answered(self, request: "_Request", headers: Mapping[str, str]) -> APIResponse:
        """The response to a request, which is made again without what the API refuses. Raises as `complete` does."""
        api, tells_usage = "", None
        if self._asks_usage:
            api = f"{request.client.base_url} {request.body['model']}"[:_LONGEST_API]
            tells_usage = self._tells_usage.get(api)
        if self._asks_usage and tells_usage is not False:
            try:
                response = await request.send({**request.body, **_WITH_USAGE}, "#usage", headers)
            except APIRefusal as error:
                if tells_usage or error.status not in _UNKNOWN_ARGUMENT:
                    raise
            else:
                self._learn_usage(api, tells=True)
                return response
        refused = False
        try:
            response = await request.send(request.body, "", headers)
        except APIRefusal as error:
            refused = _refuses_to_stream(error)
            if not refused:
                raise
        if refused:
            whole = {name: value for name, value in request.body.items() if name != "stream"}
            response = await request.send(whole, "#whole", headers)
        self._learn_usage(api, tells=False)
        return response

    def _learn_usage(self, api: str, *, tells: bool) -> None:
        if self._asks_usage:
            self._tells_usage[api] = tells
            if len(self._tells_usage) > _KNOWN_APIS:
                self._tells_usage.popitem(last=False)


class _Request:
    """What is asked, in one form or another."""

    __slots__ = ("api_key", "body", "check", "client", "key")

    def __init__(
        self, client: APIClient, body: JSONObject, api_key: str, key: str, check: URLCheck | None
    ) -> None:
        self.client = client
        self.body = body
        self.api_key = api_key
        self.key = key
        self.check = check

    def send(self, body: JSONObject, form: str, headers: Mapping[str, str]) -> Awaitable[APIResponse]:
        """Asks with a body; its form is a part of the idempotency key. Raises as `APIClient.complete` does."""
        return self.client.complete(body, self.api_key, self.key + form, headers, self.check)


def _key_header(key: str) -> str:
    """An idempotency key as it is sent: headers are ASCII, node ids are not."""
    return key if _PLAIN.fullmatch(key) else quote(key, safe="/[]:", errors="surrogatepass")


def _prepare(scope: RunScope, inputs: JSONObject) -> JSONObject:  # noqa: ARG001
    """The inputs as they are, if they suffice. Raises `NodeError`."""
    missing = [
        name
        for name in ("modelName", "temperature", "apiHost", "prompt")
        if (inputs.get(name) is None if name == "temperature" else not _truthy(inputs.get(name)))
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


def _to_string(value: Any) -> str:
    return value if type(value) is str else javascript.to_string(value)


def _truthy(value: Any) -> bool:
    return bool(value) if type(value) is str else javascript.truthy(value)


def _messages(inputs: JSONObject) -> list[JSONObject]:
    messages: list[JSONObject] = []
    system_prompt = inputs.get("systemPrompt")
    if _truthy(system_prompt):
        messages.append({"role": "system", "content": _content(system_prompt)})
    messages.append({"role": "user", "content": _content(inputs["prompt"])})
    return messages


def _content(prompt: Any) -> Any:
    """A prompt as the API takes it: a text, or a list of content parts."""
    return _sendable(prompt if isinstance(prompt, list) else _to_string(prompt))


def _sendable(value: Any) -> Any:
    """A value as it can be sent: half a surrogate pair in a text has no form that could be."""
    match value:
        case str():
            return value if value.isascii() else to_utf8(value).decode()
        case list():
            return [_sendable(member) for member in value]
        case dict():
            return {_sendable(name): _sendable(member) for name, member in value.items()}
        case _:
            return value


def _refuses_to_stream(error: APIRefusal) -> bool:
    """Whether an API says that it would answer, but not in a stream."""
    body: Any = error.body
    param = body.get("param") if isinstance(body, dict) else None
    said = body if isinstance(body, str) else json_text.dumps(body)
    return error.status in _REFUSALS and (param == "stream" or _STREAM.search(said) is not None)


def _describe(error: APIRefusal) -> str:
    """An API's error as OpenAI's JavaScript library prints it, which is what FlowGram shows."""
    body: Any = error.body
    message = body.get("message") if isinstance(body, dict) else body
    if not message:
        message = body or "status code (no body)"
    text = message if isinstance(message, str) else json_text.dumps(message)
    return f"{error.status} {text}"[:MAX_ERROR_LENGTH]
