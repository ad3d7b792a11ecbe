"""The openai package as a client of one API host, in a module of its own, since its import takes long.

It knows when and how often to try again, and what an error says. `api_client` makes most first attempts without it.
"""

from collections.abc import Mapping
from typing import Any

import httpx2
import openai

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.errors import APIRefusal, APITimeout, APIUnreachable
from flowgram_core.nodes.llm.answer import MAX_ERROR_LENGTH
from flowgram_core.nodes.llm.api_requests import APIRequests
from flowgram_core.nodes.llm.openai_transport import (
    RAW_RESPONSE,
    OpenAITransport,
    PackageBody,
    PackageCall,
    current_call,
)
from flowgram_core.nodes.network.redirects import URLCheck
from flowgram_core.nodes.network.transport import HTTPResponse, TransportError
from flowgram_core.nodes.node_settings import LLMSettings


class PackageClient:
    """Asks one API host by the openai package.

    Args:
        base_url: The API.
        settings: Time-outs, retries and limits.
        requests: Sends what the package asks for.

    Attributes:
        url: Where chat completions are asked for.
    """

    def __init__(self, base_url: str, settings: LLMSettings, requests: APIRequests) -> None:
        self._openai = _OpenAI(
            base_url=base_url,
            api_key="unused",
            max_retries=settings.max_retries,
            timeout=settings.read_timeout,
            http_client=_DirectClient(OpenAITransport(requests)),
        )
        base = self._openai.base_url
        self.url = base.copy_with(raw_path=base.raw_path + b"chat/completions")

    async def complete(
        self,
        content: bytes,
        headers: Mapping[str, str],
        check: URLCheck | None,
        first: HTTPResponse | TransportError | None,
    ) -> HTTPResponse:
        """Asks for a chat completion. Raises as `APIClient.complete` does.

        Args:
            content: The request, as JSON text.
            headers: Those that only this call has; `authorization` is empty where none is to be sent.
            check: As for `APIClient.complete`.
            first: What came of the first attempt, where this was made already.
        """
        call = PackageCall(check, headers.keys(), first)
        token = current_call.set(call)
        try:
            return await self._post(content, headers)
        finally:
            current_call.reset(token)
            if call.first is not None and not isinstance(call.first, TransportError):
                call.first.close()

    async def _post(self, content: bytes, headers: Mapping[str, str]) -> HTTPResponse:
        try:
            # The package's typed methods would look through all of the body, which costs several times as much, and it would
            # write it on the event loop.
            response = await self._openai.post(
                str(self.url),
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
