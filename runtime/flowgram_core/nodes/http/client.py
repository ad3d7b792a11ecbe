"""The HTTP client of http nodes: one attempt at a request, its redirects, and its response within bounds."""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.overflow import OverflowSemaphore
from flowgram_core.concurrency.time_limit import TimeLimit
from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.errors import AttemptFailed
from flowgram_core.nodes.network.charsets import decode_text
from flowgram_core.nodes.network.content_codings import ACCEPTED, read_decoded
from flowgram_core.nodes.network.held_bytes import HeldBytes, HeldShare
from flowgram_core.nodes.network.redirects import Request, URLCheck, is_redirect, redirect
from flowgram_core.nodes.network.transport import (
    HTTPResponse,
    HTTPTransport,
    TimeSlice,
    TransportError,
    at_once,
)
from flowgram_core.nodes.node_settings import HTTPSettings

_SET_COOKIE = "set-cookie"


class Response(NamedTuple):
    """A response.

    Attributes:
        status_code: Of the last response, after all redirects.
        headers: By their names in lower case, in alphabetical order. Several of one name are joined with a comma;
            several cookies are a list.
        body: Decompressed, and decoded by its byte order mark, its label or as UTF-8; invalid bytes become U+FFFD.
    """

    status_code: int
    headers: dict[str, str | list[str]]
    body: str


class HTTPClient:
    """Sends requests, and follows redirects. It keeps no cookies.

    Args:
        settings: How requests are made.
        transport: Sends them.
        time_slice: Shares the event loop with everything else on it.
        secret_names: Headers, in lower case, that do not follow a redirect to another origin, besides those that carry
            credentials by their names.
    """

    def __init__(
        self,
        settings: HTTPSettings,
        transport: HTTPTransport,
        *,
        time_slice: TimeSlice = at_once,
        secret_names: Collection[str] = (),
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._time_slice = time_slice
        self._secret_names = secret_names
        self._held = HeldBytes(settings.max_held_bytes, "http.max_held_bytes")
        self._slots = OverflowSemaphore(settings.max_parallel, settings.max_long_parallel)
        self._default_headers = {
            "accept": "*/*",
            "accept-encoding": ACCEPTED,
            "user-agent": settings.user_agent,
        }

    async def attempt(
        self,
        request: Request,
        timeout: float,  # noqa: ASYNC109 - part of the outcome
        owner: Owner,
        check: URLCheck | None = None,
    ) -> Response:
        """Sends a request once. When the caller is cancelled, the connection is closed.

        Args:
            request: What to send.
            timeout: Seconds for all of it, redirects and reading included, from the moment on when there is a slot for it.
            owner: Whose request it is: slots are shared between owners.
            check: Raises `NodeError` for an address that the request must not be sent to, that of a redirect included.

        Raises:
            AttemptFailed: The connection failed before a response came, or the time is over.
            NodeError: The response broke off, or is none that could be used.
        """
        async with self._slots.slot(owner):
            await self._time_slice()
            try:
                with TimeLimit(asyncio.get_running_loop().call_later, timeout):
                    return await self._follow(request, check)
            except TimeoutError as error:
                host_and_port, milliseconds = request.url.netloc.decode("ascii"), f"{timeout * 1000:g}"
                raise AttemptFailed(f'no response from "{host_and_port}" within {milliseconds} ms') from error

    async def _follow(self, request: Request, check: URLCheck | None) -> Response:
        for _ in range(self._settings.max_redirects + 1):
            if check is not None:
                check(request.url)
            response = await self._send(request)
            try:
                location = _header(response, b"location")
                if not is_redirect(response.status_code, location):
                    with self._held.open() as share:
                        return await self._read(response, share)
            finally:
                response.close()
            assert location is not None  # noqa: S101 - it is a redirect
            request = redirect(request, response.status_code, location, self._secret_names)
        raise NodeError(f"HTTP request failed: more than {self._settings.max_redirects} redirects")

    async def _send(self, request: Request) -> HTTPResponse:
        headers = {**self._default_headers, **request.headers}
        try:
            return await self._transport.send(
                request.method,
                request.url,
                # In bytes, so that no value is encoded in another way than browsers do.
                [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
                request.body,
            )
        except TransportError as error:
            raise AttemptFailed(str(error)) from error

    async def _read(self, response: HTTPResponse, share: HeldShare) -> Response:
        limit = self._settings.max_response_bytes
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in read_decoded(response, self._time_slice):
                size += len(piece)
                if size > limit:
                    raise NodeError(
                        f"HTTP response is larger than the limit http.max_response_bytes = {limit}"
                    )
                share.hold(size)
                pieces.append(piece)
        except TransportError as error:
            # What was asked for was done: the request is not made again.
            raise NodeError(f"HTTP request failed: {error}") from error
        headers = _headers(response)
        content_type = (_header(response, b"content-type") or b"").decode("latin-1")
        body = await decode_text(b"".join(pieces), content_type, self._time_slice)
        return Response(response.status_code, headers, body)


def _header(response: HTTPResponse, name: bytes) -> bytes | None:
    return next((value for key, value in response.headers if key == name), None)


def _headers(response: HTTPResponse) -> dict[str, str | list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in response.headers:
        values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return {
        name: values[name] if name == _SET_COOKIE and len(values[name]) > 1 else ", ".join(values[name])
        for name in sorted(values)
    }
