"""The HTTP client of http nodes: one attempt at a request, its redirects, and its response within bounds."""

from collections.abc import Collection, Mapping, Sequence

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.concurrency.fair_queue import Owner
from flowgram_core.concurrency.overflow import OverflowSemaphore
from flowgram_core.concurrency.time_limit import TimeLimit
from flowgram_core.concurrency.timer_queue import TimerQueue
from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.errors import AttemptFailed
from flowgram_core.nodes.network.charsets import PIECE, decode_at_once, decode_text
from flowgram_core.nodes.network.content_codings import ACCEPTED
from flowgram_core.nodes.network.decoded_body import DecodedBody, is_coded
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


class Response:
    """A response.

    Attributes:
        status_code: Of the last response, after all redirects.
        headers: By their names in lower case, in alphabetical order. Several of one name are joined with a comma;
            several cookies are a list.
        body: Decompressed, and decoded by its byte order mark, its label or as UTF-8; invalid bytes become U+FFFD.
    """

    __slots__ = ("body", "headers", "status_code")

    def __init__(self, status_code: int, headers: dict[str, str | list[str]], body: str) -> None:
        self.status_code = status_code
        self.headers = headers
        self.body = body


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
        clock = SystemClock()
        self._timers = TimerQueue(clock.call_later, clock.monotonic)
        self._default_headers = {
            "accept": "*/*",
            "accept-encoding": ACCEPTED,
            "user-agent": settings.user_agent,
        }
        self._default_bytes = _encoded(self._default_headers)

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
        slot = self._slots.slot(owner)
        if not slot.enter_at_once():
            await slot.enter()
        try:
            await self._time_slice()
            with TimeLimit(self._timers.call_later, timeout):
                return await self._follow(request, check)
        except TimeoutError as error:
            host_and_port, milliseconds = request.url.netloc.decode("ascii"), f"{timeout * 1000:g}"
            raise AttemptFailed(f'no response from "{host_and_port}" within {milliseconds} ms') from error
        finally:
            slot.leave()

    async def _follow(self, request: Request, check: URLCheck | None) -> Response:
        for _ in range(self._settings.max_redirects + 1):
            if check is not None:
                check(request.url)
            try:
                response = await self._transport.send(
                    request.method, request.url, self._headers_of(request), request.body
                )
            except TransportError as error:
                raise AttemptFailed(str(error)) from error
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

    def _headers_of(self, request: Request) -> Sequence[tuple[bytes, bytes]]:
        """In bytes, so that no value is encoded in another way than browsers do."""
        if not request.headers:
            return self._default_bytes
        return _encoded({**self._default_headers, **request.headers})

    async def _read(self, response: HTTPResponse, share: HeldShare) -> Response:
        limit = self._settings.max_response_bytes
        pieces: list[bytes] = []
        size = 0
        body = DecodedBody(response, self._time_slice) if is_coded(response.headers) else response
        try:
            while not body.is_over and (piece := await body.read()):
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
        content_type = (_header(response, b"content-type") or b"").decode("latin-1")
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if len(whole) <= PIECE:
            text = decode_at_once(whole, content_type)
        else:
            text = await decode_text(whole, content_type, self._time_slice)
        return Response(response.status_code, _headers(response), text)


def _header(response: HTTPResponse, name: bytes) -> bytes | None:
    for key, value in response.headers:
        if key == name:
            return value
    return None


def _encoded(headers: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple([(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()])


def _headers(response: HTTPResponse) -> dict[str, str | list[str]]:
    values: dict[str, str | list[str]] = {}
    names: list[str] = []
    for name_bytes, value_bytes in response.headers:
        name, value = name_bytes.decode("latin-1"), value_bytes.decode("latin-1")
        known = values.get(name)
        if known is None:
            values[name] = value
            names.append(name)
        elif isinstance(known, list):
            known.append(value)
        else:
            values[name] = [known, value]
    names.sort()
    return {name: _joined(name, values[name]) for name in names}


def _joined(name: str, value: str | list[str]) -> str | list[str]:
    return value if isinstance(value, str) or name == _SET_COOKIE else ", ".join(value)
