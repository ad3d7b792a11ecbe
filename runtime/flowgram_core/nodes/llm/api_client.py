"""The client of one OpenAI-compatible API, made with the openai package, which is imported on demand because that takes long.

The package makes the first request of a client, and every other one whose first attempt has failed: it knows when and how
often to try again, and what an error says. The first attempts of all others are made here, with the headers that the package
has sent with its own: for it, a request that succeeds at once takes several times as long as all the rest of a call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import httpx2
import openai

from flowgram_core.concurrency.offload import LARGE, run_in_thread_if_large
from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.sizes import size_of
from flowgram_core.nodes.errors import APIRefusal, APITimeout, APIUnreachable
from flowgram_core.nodes.llm.answer import MAX_ERROR_LENGTH
from flowgram_core.nodes.llm.api_response import APIResponse
from flowgram_core.nodes.llm.openai_transport import (
    RAW_RESPONSE,
    OpenAITransport,
    PackageBody,
    PackageCall,
    current_call,
)
from flowgram_core.nodes.network.redirects import Request, URLCheck
from flowgram_core.nodes.network.transport import HTTPResponse, TransportError
from flowgram_core.nodes.node_settings import LLMSettings


class APIClient:
    """Asks one API host.

    Args:
        base_url: The API.
        settings: Time-outs, retries and limits.
        transport: As for `OpenAITransport`.

    Attributes:
        base_url: See the arguments.
    """

    def __init__(self, base_url: str, settings: LLMSettings, transport: OpenAITransport) -> None:
        self.base_url = base_url
        self._transport = transport
        self._openai = _OpenAI(
            base_url=base_url,
            api_key="unused",
            max_retries=settings.max_retries,
            timeout=settings.read_timeout,
            http_client=_DirectClient(transport),
        )
        base = self._openai.base_url
        self._url = base.copy_with(raw_path=base.raw_path + b"chat/completions")

    async def complete(
        self,
        body: JSONObject,
        api_key: str | None,
        idempotency_key: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        check: URLCheck | None = None,
    ) -> APIResponse:
        """Asks for a chat completion; the response's body is not yet read. Close it.

        Connection failures and passing errors are tried again; how often and after how long is the openai package's part.

        Args:
            body: The request, as JSON.
            api_key: None: the request carries none.
            idempotency_key: For APIs that know such keys.
            headers: Other headers to be sent.
            check: Raises `NodeError` for an address that the request must not be sent to.

        Raises:
            APITimeout: It was silent for too long.
            APIUnreachable: No response came.
            APIRefusal: It has answered with an error.
            NodeError: Its address is forbidden, or its response is none that could be used.
        """
        headers = {
            **headers,
            "authorization": f"Bearer {api_key}" if api_key else "",
            "idempotency-key": idempotency_key,
        }
        content = await run_in_thread_if_large(size_of(body["messages"], LARGE), json_text.encode, body)
        first: HTTPResponse | TransportError | None = None
        if self._transport.headers is not None:
            sent = {**self._transport.headers, **headers}
            if not api_key:
                del sent["authorization"]
            try:
                first = await self._transport.send(Request("POST", self._url, sent, content), check)
            except TransportError as error:
                first = error
            else:
                if httpx2.codes.is_success(first.status_code):
                    return APIResponse(first, self._transport.time_slice)
        call = PackageCall(check, headers.keys(), first)
        token = current_call.set(call)
        try:
            response = await self._by_package(content, headers)
        finally:
            current_call.reset(token)
            if call.first is not None and not isinstance(call.first, TransportError):
                call.first.close()
        return APIResponse(response, self._transport.time_slice)

    async def _by_package(self, content: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        """See `complete`."""
        try:
            # The package's typed methods would look through all of the body, which costs several times as much, and it would
            # write it on the event loop.
            response = await self._openai.post(
                str(self._url),
                cast_to=httpx2.Response,
                content=content,
                options={
                    "headers": {
                        **headers,
                        "authorization": headers["authorization"] or openai.Omit(),
                        RAW_RESPONSE: "stream",
                    }
                },
            )
        except openai.APITimeoutError as error:
            raise APITimeout(str(error)) from error
        except openai.APIConnectionError as error:
            raise APIUnreachable(str(error)) from error
        except openai.APIStatusError as error:
            raise APIRefusal(error.status_code, error.body) from error
        except openai.OpenAIError as error:
            raise NodeError(str(error)[:MAX_ERROR_LENGTH]) from error
        assert isinstance(response.stream, PackageBody)  # noqa: S101 - the transport made it
        return response.stream.response


class _DirectClient(httpx2.AsyncClient):
    """Hands the requests of the openai package to a transport, and nothing else.

    The HTTP library's own client would merge addresses and headers, look for cookies, credentials and redirects, none of
    which there are here; that took a third of a call.
    """

    def __init__(self, transport: OpenAITransport) -> None:
        super().__init__(transport=transport, trust_env=False, timeout=None)
        self._direct = transport
        self._urls: dict[str, httpx2.URL] = {}

    def build_request(self, method: str, url: Any, **parts: Any) -> httpx2.Request:
        """A request with the headers and the content that it is given."""
        known = self._urls.get(url)
        if known is None:
            known = self._urls[url] = httpx2.URL(url)
        return httpx2.Request(method, known, headers=parts.get("headers"), content=parts.get("content"))

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The response, whose body is not yet read. Raises what the transport raises."""
        return await self._direct.handle_async_request(request)


class _OpenAI(openai.AsyncOpenAI):
    """Sends what its callers say, and nothing of what the environment of the server has for the package."""

    @property
    def default_headers(self) -> dict[str, str | openai.Omit]:
        # The package's own would add those of OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and OPENAI_PROJECT_ID.
        return {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"AsyncOpenAI/Python {openai.__version__}",
            **self.platform_headers(),
        }
