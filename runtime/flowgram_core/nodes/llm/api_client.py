"""The client of one OpenAI-compatible API, made with the openai package.

The package makes the first request of a client, and every other one whose first attempt has failed: it knows when and how
often to try again, and what an error says. The first attempts of all others are made here, with the headers that the package
has sent with its own: for it, a request that succeeds at once takes several times as long as all the rest of a call.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Protocol

import httpx2

from flowgram_core.concurrency.offload import LARGE
from flowgram_core.modeling import json_text
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.sizes import size_of
from flowgram_core.nodes.llm.api_requests import APIRequests
from flowgram_core.nodes.llm.api_response import APIResponse
from flowgram_core.nodes.network.redirects import URLCheck
from flowgram_core.nodes.network.transport import HTTPResponse, TransportError

_OK: Final = range(200, 300)


class Package(Protocol):
    """What is used of `package_client.PackageClient`, whose import takes long."""

    @property
    def url(self) -> httpx2.URL:
        """See there."""
        ...

    async def complete(
        self,
        content: bytes,
        headers: Mapping[str, str],
        check: URLCheck | None,
        first: HTTPResponse | TransportError | None,
    ) -> HTTPResponse:
        """See there."""
        ...


class APIClient:
    """Asks one API host.

    Args:
        base_url: The API.
        requests: Sends requests to it.
        package: The openai package.

    Attributes:
        base_url: See the arguments.
    """

    __slots__ = ("_package", "_requests", "_url", "base_url")

    def __init__(self, base_url: str, requests: APIRequests, package: Package) -> None:
        self.base_url = base_url
        self._requests = requests
        self._package = package
        self._url = package.url

    async def complete(
        self,
        body: JSONObject,
        api_key: str,
        idempotency_key: str,
        headers: Mapping[str, str],
        check: URLCheck | None,
    ) -> APIResponse:
        """Asks for a chat completion; the response's body is not yet read. Close it.

        Connection failures and passing errors are tried again; how often and after how long is the openai package's part.

        Args:
            body: The request, as JSON.
            api_key: Empty: the request carries none.
            idempotency_key: For APIs that know such keys.
            headers: Other headers to be sent.
            check: Raises `NodeError` for an address that the request must not be sent to.

        Raises:
            APITimeout: It was silent for too long.
            APIUnreachable: No response came.
            APIRefusal: It has answered with an error.
            NodeError: Its address is forbidden, or its response is none that could be used.
        """
        own = {
            **headers,
            "authorization": f"Bearer {api_key}" if api_key else "",
            "idempotency-key": idempotency_key,
        }
        if size_of(body["messages"], LARGE) > LARGE:
            content = await asyncio.to_thread(json_text.encode, body)
        else:
            content = json_text.encode(body)
        requests = self._requests
        first: HTTPResponse | TransportError | None = None
        if requests.knows_headers:
            try:
                response = await requests.first_attempt(self._url, own, content, check)
            except TransportError as error:
                first = error
            else:
                if response.status_code in _OK:
                    return APIResponse(response, requests.time_slice)
                first = response
        answered = await self._package.complete(content, own, check, first)
        return APIResponse(answered, requests.time_slice)
