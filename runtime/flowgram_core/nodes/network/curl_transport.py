"""The HTTP transport over libcurl: options for each request, and what is chosen for all of them."""

import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import httpx2
import pycurl
from mypy_extensions import mypyc_attr

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.authorities import Authorities
from flowgram_core.nodes.network.curl_exchange import CurlExchange
from flowgram_core.nodes.network.curl_loop import CurlLoop
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.proxies import Proxies
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice, TransportTimeout, at_once

_FRAMING: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"expect", b"te"}
)
_ADDED: Final = (b"accept", b"content-type", b"user-agent")
"""Headers that libcurl and pycurl would add."""
_WITH_EMPTY_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say that their body is empty where they have none."""
_PORTS: Final = {"http": 80, "https": 443}
_NEVER: Final = 24 * 60 * 60 * 1000
"""Milliseconds for connecting where only the caller's time-out counts; libcurl's own default is 300 s."""
# Options that pycurl 7.49 has no name for, by their numbers in curl.h.
_SUPPRESS_CONNECT_HEADERS: Final = 265
_CA_CACHE_TIMEOUT: Final = 321
_NO_LIMIT: Final = -1
_IDLE_HANDLES: Final = 64
"""Of all kinds; a handle takes some 10 KB."""


@mypyc_attr(allow_interpreted_subclasses=True)
class CurlTransport:
    """Sends requests over connections that it keeps for a while. Its loop is the one that runs at its first request.

    Args:
        authorities: Whom TLS connections trust.
        max_keepalive: Idle connections that are kept.
        keepalive: Seconds after which they are not used again; the next request closes them.
        proxies: Where requests go through a proxy. None: nowhere.
        egress: What may be connected to. None: everything.
        time_slice: Shares the event loop with everything else on it.
    """

    def __init__(
        self,
        *,
        authorities: Authorities,
        max_keepalive: int,
        keepalive: float,
        proxies: Proxies | None = None,
        egress: Egress | None = None,
        time_slice: TimeSlice = at_once,
    ) -> None:
        self._authorities = authorities
        self._max_keepalive = max_keepalive if keepalive > 0 else 0
        self._keepalive = max(1, math.ceil(keepalive))
        self._proxies = proxies
        self._egress = egress
        self._time_slice = time_slice
        self._loop: CurlLoop | None = None
        self._idle: OrderedDict[_Kind, list[Any]] = OrderedDict()
        self._idle_count = 0

    async def send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None,
        *,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
    ) -> HTTPResponse:
        """See `HTTPTransport`."""
        await self._time_slice()
        host_and_port = url.netloc.decode("ascii")
        host, port = url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        if self._egress is not None and (refused := self._egress.refusal_of_host(host, port)) is not None:
            raise NodeError(f'"{host_and_port}" {refused}')
        loop = self._loop
        if loop is None:
            loop = self._loop = CurlLoop(self._max_keepalive)
        for is_fresh in (False, True):
            proxy = None if self._proxies is None else self._proxies.find(url)
            origin = f"{url.scheme}://{host_and_port}"
            kind = _Kind(origin, proxy, connect_timeout, method, body is not None, is_fresh)
            easy = self._handle(kind)
            _set_request(easy, kind, url.raw_path.decode("ascii"), headers, body)
            exchange = CurlExchange(
                easy,
                host_and_port=host_and_port,
                host=url.host,
                connections=loop.connections,
                refusal=None if proxy is not None else self._refusal_of_addresses(host, port),
                read_timeout=read_timeout,
                recycle=None if is_fresh else partial(self._recycle, kind),
            )
            loop.start(exchange)
            try:
                await exchange.head()
                # Of many responses that arrive at once, few are handed on at a time.
                await self._time_slice()
            except BaseException:
                exchange.close()
                raise
            if exchange.has_head:
                return exchange
        raise TransportTimeout(f'no connection to "{host_and_port}"')

    async def aclose(self) -> None:
        """See `HTTPTransport`."""
        if self._loop is not None:
            self._loop.close()
        while self._idle:
            self._handle(next(iter(self._idle))).close()

    def _refusal_of_addresses(self, host: str, port: int) -> Callable[[str], str | None] | None:
        egress = self._egress
        if egress is None:
            return None

        def refusal(address: str) -> str | None:
            # An IPv6 address may name a network interface behind a percent sign.
            parsed = ipaddress.ip_address(address.partition("%")[0])
            return egress.refusal_of_address(host, port, parsed)

        return refusal

    def _handle(self, kind: "_Kind") -> Any:
        """A handle with all options that requests of a kind have in common."""
        idle = self._idle.get(kind)
        if idle is None:
            return self._make_handle(kind)
        easy = idle.pop()
        self._idle_count -= 1
        if not idle:
            del self._idle[kind]
        return easy

    def _recycle(self, kind: "_Kind", easy: Any) -> None:
        """Keeps a handle whose exchange went well for the next request of its kind, without what it has sent."""
        if kind.sends_body:
            easy.setopt(pycurl.POSTFIELDS, b"")
        easy.setopt(pycurl.HTTPHEADER, [])
        self._idle.setdefault(kind, []).append(easy)
        self._idle.move_to_end(kind)
        self._idle_count += 1
        if self._idle_count > _IDLE_HANDLES:
            oldest = next(iter(self._idle))
            self._handle(oldest).close()

    def _make_handle(self, kind: "_Kind") -> Any:
        easy = pycurl.Curl()
        set_option = easy.setopt
        # The path is sent as it is; libcurl would write parts of it anew.
        set_option(pycurl.URL, kind.origin)
        set_option(pycurl.PROXY, kind.proxy or "")
        set_option(pycurl.NOPROXY, "")
        if kind.proxy is not None:
            set_option(_SUPPRESS_CONNECT_HEADERS, 1)
        set_option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        set_option(pycurl.NOSIGNAL, 1)
        set_option(
            pycurl.CONNECTTIMEOUT_MS,
            _NEVER if kind.connect_timeout is None else int(kind.connect_timeout * 1000) or 1,
        )
        set_option(pycurl.MAXAGE_CONN, self._keepalive)
        if kind.origin.startswith("https:"):
            self._set_authorities(easy)
            # OpenSSL reads ahead, so that left-over bytes of a server may lie where nothing can see them; they would be
            # the next request's response. Sessions are resumed, which makes the next handshake a short one.
            set_option(pycurl.FORBID_REUSE, 1)
        set_option(pycurl.CUSTOMREQUEST, kind.method)
        if kind.method == "HEAD":
            set_option(pycurl.NOBODY, 1)
        elif kind.sends_body:
            set_option(pycurl.POST, 1)
        if kind.is_fresh:
            set_option(pycurl.FRESH_CONNECT, 1)
        return easy

    def _set_authorities(self, easy: Any) -> None:
        authorities = self._authorities
        if authorities.file is not None:
            easy.setopt(pycurl.CAINFO, authorities.file)
            easy.setopt(pycurl.PROXY_CAINFO, authorities.file)
            easy.setopt(_CA_CACHE_TIMEOUT, _NO_LIMIT)
        elif authorities.directory is not None:
            easy.setopt(pycurl.CAPATH, authorities.directory)
            easy.setopt(pycurl.PROXY_CAPATH, authorities.directory)
        elif authorities.is_native:
            easy.setopt(pycurl.SSL_OPTIONS, pycurl.SSLOPT_NATIVE_CA)


class _Kind(NamedTuple):
    """What the requests have in common that one handle can make, one after the other."""

    origin: str
    proxy: str | None
    connect_timeout: float | None
    method: str
    has_body: bool
    is_fresh: bool

    @property
    def sends_body(self) -> bool:
        """Whether they have a body, though it may be empty."""
        return self.method != "HEAD" and (self.has_body or self.method in _WITH_EMPTY_BODY)


def _set_request(
    easy: Any, kind: _Kind, target: str, headers: Sequence[tuple[bytes, bytes]], body: bytes | None
) -> None:
    """Sets the options of one request."""
    if _is_forwarding(kind.proxy) and kind.origin.startswith("http:"):
        target = kind.origin + target
    easy.setopt(pycurl.REQUEST_TARGET, target)
    if kind.sends_body:
        easy.setopt(pycurl.POSTFIELDSIZE, len(body or b""))
        easy.setopt(pycurl.POSTFIELDS, body or b"")
    easy.setopt(pycurl.HTTPHEADER, _header_lines(headers))


def _is_forwarding(proxy: str | None) -> bool:
    """Whether plain requests are handed to a proxy with their whole address."""
    return proxy is not None and proxy.startswith("http")


def _header_lines(headers: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
    """Headers as libcurl takes them: one without a value ends with a semicolon; one that it would add is left out."""
    lines: list[bytes] = [b"Expect:"]
    names: set[bytes] = set()
    for name, value in headers:
        lower = name.lower()
        if lower not in _FRAMING:
            names.add(lower)
            lines.append(b"%b: %b" % (name, value) if value else name + b";")
    lines.extend(b"%b:" % name for name in _ADDED if name not in names)
    return lines
