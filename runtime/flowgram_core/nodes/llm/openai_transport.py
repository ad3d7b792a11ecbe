"""The transport of the openai package, by which it sends its requests as all others are sent; it bounds the bodies of errors."""

from collections.abc import AsyncIterator, Collection
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

import httpx2

from flowgram_core.nodes.http.url import to_utf8
from flowgram_core.nodes.llm.api_requests import APIRequests
from flowgram_core.nodes.network.charsets import decode_text
from flowgram_core.nodes.network.content_codings import ACCEPTED
from flowgram_core.nodes.network.decoded_body import DecodedBody
from flowgram_core.nodes.network.redirects import Request, URLCheck
from flowgram_core.nodes.network.transport import (
    HTTPResponse,
    TimeSlice,
    TransportError,
    TransportTimeout,
)

RAW_RESPONSE: Final = "x-stainless-raw-response"
"""A header by which callers of the package say how they want the response. It is not sent."""
_MAX_ERROR_BYTES: Final = 128 * 1024
"""Of an error's body, which the package reads and parses whole, on the event loop: far more than is shown."""
_CONTENT_TYPE: Final = b"content-type"
_DECODED: Final = frozenset({b"content-encoding", b"content-length", _CONTENT_TYPE, b"transfer-encoding"})
"""Headers of a response that no longer hold when its body has been unpacked, and is text in UTF-8."""


_OF_ONE_ATTEMPT: Final = frozenset(
    {"authorization", "content-length", "host", "idempotency-key", RAW_RESPONSE}
)
"""Headers that are not the same for every request."""
_RETRY_COUNT: Final = "x-stainless-retry-count"
"""A header of the package: which attempt this is."""


@dataclass(slots=True)
class PackageCall:
    """A call that the openai package makes: what it does not hand on to its transport.

    Attributes:
        check: Raises `NodeError` for an address that the request must not be sent to.
        headers: Names, in lower case, of headers that only this call has.
        first: What came of the first attempt, where this was made before the package was asked.
    """

    check: URLCheck | None
    headers: Collection[str]
    first: HTTPResponse | TransportError | None


current_call: Final[ContextVar[PackageCall]] = ContextVar("current_call")
"""The call that the package makes in this context."""


class OpenAITransport(httpx2.AsyncBaseTransport):
    """Sends what the package asks for, and learns from it which headers first attempts have.

    Args:
        requests: Sends it.
    """

    def __init__(self, requests: APIRequests) -> None:
        self._requests = requests

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request of the package, or gives what came of it already.

        Raises:
            httpx2.TransportError: No response came.
            NodeError: The response is none that could be used.
        """
        call = current_call.get()
        outcome, call.first = call.first, None
        try:
            if isinstance(outcome, TransportError):
                raise outcome
            response = outcome or await self._requests.send(await self._request(request, call), call.check)
        except TransportError as error:
            raise _translated(error, request) from error
        return httpx2.Response(
            response.status_code,
            headers=[header for header in response.headers if header[0] not in _DECODED],
            stream=PackageBody(response, self._requests.time_slice, request),
            request=request,
        )

    async def _request(self, asked: httpx2.Request, call: PackageCall) -> Request:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in asked.headers.raw
        }
        headers.pop(RAW_RESPONSE, None)
        headers["accept-encoding"] = ACCEPTED
        if not self._requests.knows_headers and headers.get(_RETRY_COUNT, "0") == "0":
            own = _OF_ONE_ATTEMPT.union(call.headers)
            self._requests.learn({name: value for name, value in headers.items() if name not in own})
        return Request(asked.method, asked.url, headers, await asked.aread())


class PackageBody(httpx2.AsyncByteStream):
    """A response's body as the package reads it, which it does of errors only: unpacked, and no longer than it may be.

    Args:
        response: The response as it came.
        time_slice: Lets others go on between two pieces that came as one.
        request: For errors.

    Attributes:
        response: See the arguments.
    """

    def __init__(self, response: HTTPResponse, time_slice: TimeSlice, request: httpx2.Request) -> None:
        self.response = response
        self._time_slice = time_slice
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        body = DecodedBody(self.response, self._time_slice)
        pieces: list[bytes] = []
        try:
            while size < _MAX_ERROR_BYTES and (piece := await body.read()):
                size += len(piece)
                pieces.append(piece)
        except TransportError as error:
            raise _translated(error, self._request) from error
        text = await decode_text(b"".join(pieces), self._content_type, self._time_slice)
        yield to_utf8(text)

    @property
    def _content_type(self) -> str:
        return next(
            (value.decode("latin-1") for name, value in self.response.headers if name == _CONTENT_TYPE), ""
        )

    async def aclose(self) -> None:
        """Ends the exchange."""
        self.response.close()


def _translated(error: TransportError, request: httpx2.Request) -> httpx2.TransportError:
    if isinstance(error, TransportTimeout):
        return httpx2.ReadTimeout(str(error), request=request)
    return httpx2.ReadError(str(error), request=request)
