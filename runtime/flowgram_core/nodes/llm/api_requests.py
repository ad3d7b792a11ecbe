"""Requests to one API host: with redirects, and with the headers that the openai package sends with all first attempts of its own."""

from collections.abc import Awaitable, Mapping
from typing import Final

import httpx2

from flowgram_core.nodes.network.redirects import Request, URLCheck, is_redirect, redirect
from flowgram_core.nodes.network.transport import HTTPResponse, HTTPTransport, TimeSlice, TransportError
from flowgram_core.nodes.node_settings import LLMSettings

_MOST_REDIRECTS: Final = 20


class APIRequests:
    """Sends the requests of one API host.

    Args:
        transport: Makes the connections.
        settings: Time-outs.
        time_slice: Shares the event loop with everything else on it.

    Attributes:
        knows_headers: Whether the package has made a first attempt.
        time_slice: See the arguments.
    """

    __slots__ = ("_encoded", "_headers", "_settings", "_transport", "knows_headers", "time_slice")

    def __init__(self, transport: HTTPTransport, settings: LLMSettings, time_slice: TimeSlice) -> None:
        self.time_slice = time_slice
        self.knows_headers = False
        self._transport = transport
        self._settings = settings
        self._headers: dict[str, str] = {}
        self._encoded: list[tuple[bytes, bytes]] = []

    def learn(self, headers: dict[str, str]) -> None:
        """These are the headers of all first attempts."""
        self._headers = headers
        self._encoded = _encoded(headers)
        self.knows_headers = True

    def first_attempt(
        self, url: httpx2.URL, headers: Mapping[str, str], content: bytes, check: URLCheck | None
    ) -> Awaitable[HTTPResponse]:
        """Sends a request as the package would send its first attempt at it. Raises as `send` does.

        Args:
            url: Where to.
            headers: Those that only this call has; an empty one is not sent.
            content: The body.
            check: As for `send`.
        """
        own = {name: value for name, value in headers.items() if value}
        sent = {**self._headers, **own}
        is_disjoint = len(sent) == len(self._headers) + len(own)
        encoded = self._encoded + _encoded(own) if is_disjoint else _encoded(sent)
        return self._send(Request("POST", url, sent, content), encoded, check)

    def send(self, request: Request, check: URLCheck | None) -> Awaitable[HTTPResponse]:
        """Sends a request, and follows redirects.

        Args:
            request: The request.
            check: Raises `NodeError` for an address that it must not be sent to.

        Raises:
            TransportError: No response came.
            NodeError: An address is forbidden, or the response is none that could be used.
        """
        return self._send(request, _encoded(request.headers), check)

    async def _send(
        self, request: Request, headers: list[tuple[bytes, bytes]], check: URLCheck | None
    ) -> HTTPResponse:
        settings = self._settings
        for _ in range(_MOST_REDIRECTS + 1):
            if check is not None:
                check(request.url)
            response = await self._transport.send(
                request.method,
                request.url,
                headers,
                request.body,
                connect_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
            )
            location = _location(response)
            if location is None or not is_redirect(response.status_code, location):
                return response
            response.close()
            request = redirect(request, response.status_code, location)
            headers = _encoded(request.headers)
        raise TransportError(f"more than {_MOST_REDIRECTS} redirects")


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _location(response: HTTPResponse) -> bytes | None:
    for name, value in response.headers:
        if name == b"location":
            return value
    return None
