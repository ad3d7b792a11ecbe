"""The transport of the openai package: hands its requests to ours, follows redirects, and bounds what comes back."""

from collections.abc import AsyncIterator
from typing import Final

import httpx2

from flowgram_core.nodes.network.content_codings import ACCEPTED, PIECE, read_decoded
from flowgram_core.nodes.network.redirects import Request, current_check, is_redirect, redirect
from flowgram_core.nodes.network.transport import (
    HTTPResponse,
    HTTPTransport,
    TimeSlice,
    TransportError,
    TransportTimeout,
)
from flowgram_core.nodes.node_settings import MIB, LLMSettings

RAW_RESPONSE: Final = "x-stainless-raw-response"
"""A header by which callers of the package say how they want the response. It is not sent."""
_MOST_REDIRECTS: Final = 20
_MAX_ERROR_BYTES: Final = MIB
"""Of an error's body, which the package reads whole: all that an honest API says, and far more than is shown."""
_DECODED: Final = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
"""Headers of a response that no longer hold when its body has been unpacked."""


class OpenAITransport(httpx2.AsyncBaseTransport):
    """Sends the requests of one API host.

    Args:
        transport: Makes the connections.
        settings: Time-outs.
        time_slice: Shares the event loop with everything else on it.
    """

    def __init__(
        self,
        transport: HTTPTransport,
        settings: LLMSettings,
        time_slice: TimeSlice,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._time_slice = time_slice

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request.

        Raises:
            httpx2.TransportError: No response came.
            NodeError: The response is none that could be used.
        """
        try:
            response = await self._follow(request)
        except TransportError as error:
            raise _translated(error, request) from error
        is_success = response.status_code < httpx2.codes.MULTIPLE_CHOICES
        return httpx2.Response(
            response.status_code,
            headers=[header for header in response.headers if header[0] not in _DECODED],
            stream=_Body(response, None if is_success else _MAX_ERROR_BYTES, self._time_slice, request),
            request=request,
        )

    async def _follow(self, asked: httpx2.Request) -> HTTPResponse:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in asked.headers.raw
        }
        headers.pop(RAW_RESPONSE, None)
        headers["accept-encoding"] = ACCEPTED
        request = Request(asked.method, asked.url, headers, await asked.aread())
        check = current_check.get()
        for _ in range(_MOST_REDIRECTS + 1):
            if check is not None:
                check(request.url)
            response = await self._transport.send(
                request.method,
                request.url,
                [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in request.headers.items()
                ],
                request.body,
                connect_timeout=self._settings.connect_timeout,
                read_timeout=self._settings.read_timeout,
            )
            location = next((value for name, value in response.headers if name == b"location"), None)
            if location is None or not is_redirect(response.status_code, location):
                return response
            response.close()
            request = redirect(request, response.status_code, location)
        raise TransportError(f"more than {_MOST_REDIRECTS} redirects")


class _Body(httpx2.AsyncByteStream):
    """A response's body: unpacked, in small pieces, and no longer than it may be.

    Args:
        response: The response as it came.
        max_bytes: Where the body is cut off. None: nowhere.
        time_slice: Lets others go on between two pieces of one that was longer.
        request: For errors.
    """

    def __init__(
        self,
        response: HTTPResponse,
        max_bytes: int | None,
        time_slice: TimeSlice,
        request: httpx2.Request,
    ) -> None:
        self._response = response
        self._max_bytes = max_bytes
        self._time_slice = time_slice
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for piece in read_decoded(self._response, self._time_slice):
                for start in range(0, len(piece), PIECE):
                    if start:
                        await self._time_slice()
                    part = piece[start : start + PIECE]
                    yield part
                    size += len(part)
                    if self._max_bytes is not None and size >= self._max_bytes:
                        return
        except TransportError as error:
            raise _translated(error, self._request) from error

    async def aclose(self) -> None:
        self._response.close()


def _translated(error: TransportError, request: httpx2.Request) -> httpx2.TransportError:
    if isinstance(error, TransportTimeout):
        return httpx2.ReadTimeout(str(error), request=request)
    return httpx2.ReadError(str(error), request=request)
