"""http: makes an HTTP request.

The prepared inputs are the request: `{method, url, headers, params, bodyType, body, retryTimes, timeout}`, where `body` is
a text (of the form types, the fields as JSON text) and `timeout` counts milliseconds. Any status code is a success; the
outputs are `headers`, `statusCode` and `body`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any, Final, Self

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.offload import LARGE
from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import Call, CallBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.bindings import compile_inputs
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.scope import Scope
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.templates import compile_template
from flowgram_core.modeling.values import UNDEFINED
from flowgram_core.nodes.errors import AttemptFailed
from flowgram_core.nodes.executor import CallContext
from flowgram_core.nodes.http import request as http_request
from flowgram_core.nodes.http.client import HTTPClient, Response
from flowgram_core.nodes.http.secret_fields import with_secrets
from flowgram_core.nodes.network.client import make_transport
from flowgram_core.nodes.network.observation import RequestObserver
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.redirects import Request, URLCheck
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice, at_once
from flowgram_core.nodes.node_settings import EgressSettings, HTTPSettings
from flowgram_core.nodes.workflow_secrets import WorkflowSecrets

_PINNED_TIMEOUT: Final = 10
"""Seconds: the time-out that a log without one stands for, whatever becomes of the setting's default."""

_COMMON: Final = 1_000_000_000
"""Smaller numbers are most often what they are already."""

_Render = Callable[[Scope], str]


class HTTPNode(Trusted):
    """The node type `http`. An async context manager: its connections end with it.

    Args:
        settings: How requests are made.
        sleep: Waits so many seconds before another attempt.
        time_slice: Shares the event loop with everything else on it.
        transport: Sends the requests; None: one that keeps to the settings.
        egress: What may be connected to.
        own_ports: The ports that the server listens on.
        secrets: The secrets that workflows may use.
        secret_names: Headers that carry credentials besides those that are known by their names: they do not follow a
            redirect to another origin.
        observer: Is notified of each attempt at a request.

    Attributes:
        type: `http`.
        answers_from_outside: Its outputs are what somebody else sent, who may have sent secrets back.
    """

    type = "http"
    answers_from_outside = True

    def __init__(
        self,
        settings: HTTPSettings | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        time_slice: TimeSlice = at_once,
        transport: HTTPTransport | None = None,
        egress: EgressSettings | None = None,
        own_ports: OwnPorts | None = None,
        secrets: WorkflowSecrets | None = None,
        secret_names: Iterable[str] = (),
        observer: RequestObserver | None = None,
    ) -> None:
        self._settings = settings or HTTPSettings()
        self._sleep = sleep
        self._secrets = secrets or WorkflowSecrets()
        self._observer = observer
        self._transport = transport or make_transport(
            self._settings,
            egress=egress,
            own_ports=own_ports,
            max_keepalive=self._settings.max_keepalive,
            keepalive=self._settings.keepalive,
            time_slice=time_slice,
        )
        self._client = HTTPClient(
            self._settings,
            self._transport,
            time_slice=time_slice,
            secret_names=frozenset(name.lower() for name in secret_names),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._transport.aclose()

    @property
    def pins(self) -> JSONObject:
        """The time-out, which the inputs of a request show."""
        timeout = self._settings.timeout
        return {} if timeout == _PINNED_TIMEOUT else {"timeout": timeout}

    def pinned(self, pins: JSONObject) -> Self:
        """The node type with the time-out that a task was accepted with."""
        settings = replace(self._settings, timeout=pins.get("timeout", _PINNED_TIMEOUT))
        return type(self)(settings, transport=self._transport)

    def bind(self, node: Node) -> CallBehavior:
        """Compiles the request's bindings once. What is wrong with them fails the node when it runs, in FlowGram's order."""
        data = node.data
        api, timeout = _object(data.get("api")), _object(data.get("timeout"))
        render_url = _compile_text(api.get("url", UNDEFINED), "HTTP url is required")
        resolve_headers = compile_inputs(data.get("headersValues"), data.get("headers"))
        resolve_params = compile_inputs(data.get("paramsValues"), data.get("params"))
        body = _object(data.get("body"))
        body_type = body.get("bodyType", UNDEFINED)
        render_body = _compile_body(body_type, body)
        default_timeout = self._settings.timeout * 1000

        def prepare(scope: RunScope, inputs: JSONObject) -> JSONObject:  # noqa: ARG001 - the request has its own
            request: JSONObject = {"method": api["method"]} if "method" in api else {}
            request["url"] = render_url(scope)
            request["headers"] = resolve_headers(scope)
            params = resolve_params(scope)
            request["params"] = javascript.in_property_order(params) if params else params
            request["bodyType"] = body_type
            request["body"] = render_body(scope)
            request["retryTimes"] = _or_default(timeout.get("retryTimes"), 0)
            request["timeout"] = _or_default(timeout.get("timeout"), default_timeout)
            return request

        return CallBehavior(prepare)

    async def execute(self, call: Call, context: CallContext) -> JSONObject:
        """Makes the request, again after 1, 2, 4 … seconds where no response came or the time was over.

        Raises:
            NodeError: No attempt got a response, or the request or its response is none that could be used, or it has a secret
                that is not for its host.
        """
        inputs, uses = call.inputs, call.node.secrets
        opened = self._secrets.open(uses, context.owner.namespace) if uses else None
        if opened is not None:
            inputs = with_secrets(inputs, uses, opened)
        if size_of(inputs, LARGE) > LARGE:
            request = await asyncio.to_thread(http_request.build_request, inputs)
        else:
            request = http_request.build_request(inputs)
        if opened is not None:
            opened.check_host_header(request.url, request.headers.get("host"))
        timeout = _number(call.inputs["timeout"])
        if not 0 <= timeout < math.inf:
            raise NodeError(
                f'HTTP timeout "{javascript.to_string(call.inputs["timeout"])}" is not a number of milliseconds'
            )
        retries = _number(call.inputs["retryTimes"])
        if not retries >= 0:
            raise NodeError("HTTP request failed after all retry attempts")
        check = None if opened is None else opened.check
        attempt = 0
        while True:
            try:
                if self._observer is None:
                    response = await self._client.attempt(request, timeout / 1000, context.owner, check)
                else:
                    response = await self._observed(request, timeout / 1000, context.owner, check)
            except AttemptFailed as error:
                if attempt + 1 > retries:
                    raise NodeError(f"HTTP request failed: {error}") from error
            else:
                return {
                    "headers": response.headers,
                    "statusCode": response.status_code,
                    "body": response.body,
                }
            await self._sleep(2**attempt)
            attempt += 1

    async def _observed(
        self,
        request: Request,
        timeout: float,  # noqa: ASYNC109 - part of the outcome
        owner: Owner,
        check: URLCheck | None,
    ) -> Response:
        """As `HTTPClient.attempt`, where there is an observer."""
        assert self._observer is not None  # noqa: S101 - as said
        with self._observer.request(request.method, request.url) as exchange:
            headers = {**exchange.headers, **request.headers}
            request = Request(request.method, request.url, headers, request.body)
            response = await self._client.attempt(request, timeout, owner, check)
            exchange.answered(response.status_code)
            return response


def _number(value: Any) -> float:
    return float(value) if type(value) is int and 0 <= value < _COMMON else javascript.to_number(value)


def _object(value: Any) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _or_default(value: Any, default: float) -> Any:
    """What the schema says, or the default; a whole number without a fraction, as JSON shows it."""
    if value is not None:
        return value
    return int(default) if float(default).is_integer() else default


def _failing(message: str) -> _Render:
    def render(scope: Scope) -> str:  # noqa: ARG001
        raise NodeError(message)

    return render


def _compile_text(flow_value: Any, required: str) -> _Render:
    """Renders a template; where it is none, or empty, the node fails."""
    if not isinstance(flow_value, dict) or flow_value.get("type") != "template":
        return _failing(f"Invalid template value: {javascript.to_string(flow_value)}")
    template = compile_template(flow_value.get("content"))

    def render(scope: Scope) -> str:
        text = template.render(scope)
        if text is None:
            raise NodeError(required)
        return text

    return render


def _compile_body(body_type: Any, body: JSONObject) -> _Render:
    """Renders the text that the request's body is made of."""

    def text(key: str, name: str) -> _Render:
        required = f"HTTP {name} body is required"
        return _compile_text(body[key], required) if javascript.truthy(body.get(key)) else _failing(required)

    def form(key: str, values_key: str, name: str) -> _Render:
        declare, values = body.get(key), body.get(values_key)
        if not javascript.truthy(declare) or not javascript.truthy(values):
            return _failing(f"HTTP {name} body is required")
        resolve = compile_inputs(values, declare)
        return lambda scope: json_text.dumps(javascript.in_property_order(resolve(scope)))

    match body_type:
        case http_request.NONE:
            return lambda scope: ""  # noqa: ARG005
        case http_request.JSON:
            return text("json", "json")
        case http_request.RAW_TEXT:
            return text("rawText", "raw-text")
        case http_request.BINARY:
            return text("binary", "binary")
        case http_request.FORM_DATA:
            return form("formData", "formDataValues", "form-data")
        case http_request.FORM_URLENCODED:
            return form("xWwwFormUrlencoded", "xWwwFormUrlencodedValues", "x-www-form-urlencoded")
        case _:
            return _failing(f'HTTP invalid body type "{javascript.to_string(body_type)}"')
