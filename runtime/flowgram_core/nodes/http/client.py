"""The HTTP client of http nodes: one attempt at a request, its redirects, and its response within bounds."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urljoin

import httpx2

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.errors import AttemptFailed
from flowgram_core.nodes.http.request import Request
from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.client import make_client, trusted_authorities
from flowgram_core.nodes.network.fair_transport import TimeSlice, at_once
from flowgram_core.nodes.node_settings import HTTPSettings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_THE_BODY = frozenset({"content-encoding", "content-language", "content-location", "content-type"})
_OF_THE_ORIGIN = frozenset({"authorization", "proxy-authorization", "cookie", "host"})
_BOM = b"\xef\xbb\xbf"


class Response(NamedTuple):
    """A response.

    Attributes:
        status_code: Of the last response, after all redirects.
        headers: By their names in lower case, in alphabetical order. Several of one name are joined with a comma; of
            several cookies there is the last one.
        body: Decompressed, and decoded as UTF-8 whatever the headers say; invalid bytes become U+FFFD.
    """

    status_code: int
    headers: dict[str, str]
    body: str


class HTTPClient:
    """Sends requests; connections are kept for a while, cookies never. Making one takes long: it reads certificates."""

    def __init__(self, settings: HTTPSettings, time_slice: TimeSlice = at_once) -> None:
        self._settings = settings
        self._time_slice = time_slice
        self._slots = asyncio.Semaphore(settings.max_parallel)
        self._client = make_client(
            settings,
            verify=trusted_authorities(ca_file=settings.ca_file, trust_env=settings.trust_env),
            time_slice=time_slice,
            max_connections=None,
            max_keepalive=settings.max_keepalive,
            keepalive=settings.keepalive,
            headers={"accept": "*/*", "user-agent": settings.user_agent},
        )

    async def aclose(self) -> None:
        """Closes all connections."""
        await self._client.aclose()

    async def attempt(self, request: Request, timeout: float) -> Response:  # noqa: ASYNC109 - part of the outcome
        """Sends a request once. When the caller is cancelled, the connection is closed.

        Args:
            request: What to send.
            timeout: Seconds for all of it, redirects and reading included, from the moment on when it is its turn.

        Raises:
            AttemptFailed: The connection failed before a response came, or the time is over.
            NodeError: The response broke off, or is none that could be used.
        """
        async with self._slots:
            await self._time_slice()
            try:
                async with asyncio.timeout(timeout):
                    return await self._follow(request)
            except TimeoutError as error:
                milliseconds = f"{timeout * 1000:g}"
                raise AttemptFailed(
                    f'no response from "{_place(request.url)}" within {milliseconds} ms'
                ) from error

    async def _follow(self, request: Request) -> Response:
        for _ in range(self._settings.max_redirects + 1):
            try:
                answer = await self._send(request)
            except (httpx2.TransportError, OSError) as error:
                raise AttemptFailed(_explain(error, request.url)) from error
            if isinstance(answer, Response):
                return answer
            request = answer
        raise NodeError(f"HTTP request failed: more than {self._settings.max_redirects} redirects")

    async def _send(self, request: Request) -> Response | Request:
        """The response, or the request to which it redirects."""
        method, url, headers, body = request
        async with self._client.stream(
            method,
            url,
            # In bytes, so that no value is encoded in another way than browsers do.
            headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()],
            content=body,
            auth=None,
            follow_redirects=False,
        ) as response:
            location = response.headers.get("location")
            if response.status_code in _REDIRECTS and location is not None:
                return _redirect(request, response.status_code, location)
            return Response(response.status_code, _headers(response), await self._read(response))

    async def _read(self, response: httpx2.Response) -> str:
        limit = self._settings.max_response_bytes
        chunks: list[bytes] = []
        size = 0
        try:
            async for chunk in response.aiter_bytes():
                size += len(chunk)
                if size > limit:
                    raise NodeError(
                        f"HTTP response is larger than the limit http.max_response_bytes = {limit}"
                    )
                chunks.append(chunk)
        except httpx2.DecodingError as error:
            raise NodeError("HTTP response cannot be decompressed") from error
        except (httpx2.TransportError, OSError) as error:
            # What was asked for was done: the request is not made again.
            raise NodeError(f"HTTP request failed: {_explain(error, response.url)}") from error
        return b"".join(chunks).removeprefix(_BOM).decode("utf-8", "replace")


def _headers(response: httpx2.Response) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in sorted(response.headers.raw, key=lambda header: header[0].lower()):
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers and name != "set-cookie" else value
    return headers


def _redirect(request: Request, status_code: int, location: str) -> Request:
    """The request that follows a redirect. Source: the fetch standard, "HTTP-redirect fetch"."""
    method, url, headers, body = request
    try:
        target = parse_url(urljoin(str(url), location))
    except (NodeError, ValueError) as error:
        raise NodeError(
            f'HTTP request failed: "{_place(url)}" redirects to an address that cannot be used'
        ) from error
    if (status_code in {301, 302} and method == "POST") or (
        status_code == 303 and method not in {"GET", "HEAD"}
    ):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        headers = {name: value for name, value in headers.items() if name not in _OF_THE_ORIGIN}
    return Request(method, target, headers, body)


def _place(url: httpx2.URL) -> str:
    return url.netloc.decode("ascii")


def _explain(error: BaseException, url: httpx2.URL) -> str:
    """What to tell users of a failed connection."""
    place = _place(url)
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return f'the certificate of "{place}" is not trusted: {cause.verify_message}'
            case ssl.SSLError():
                return f'no secure connection to "{place}": {cause.reason or "TLS failed"}'
            case socket.gaierror():
                return f'unknown host "{url.host}"'
            case OSError(errno=errno.ECONNREFUSED):
                return f'"{place}" refused the connection'
            case OSError(errno=errno.ENETUNREACH | errno.EHOSTUNREACH):
                return f'"{place}" cannot be reached'
            case _:
                pass
    if isinstance(error, httpx2.ConnectError):
        return f'no connection to "{place}"'
    if isinstance(error, httpx2.RemoteProtocolError):
        return f'no complete HTTP response from "{place}"'
    return f'the connection to "{place}" broke'


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what led to it."""
    while error is not None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                yield from _causes(inner)
        yield error
        error = error.__cause__ or error.__context__
