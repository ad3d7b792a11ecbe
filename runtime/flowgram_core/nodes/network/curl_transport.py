"""The HTTP transport over libcurl: options for each request, and what is chosen for all of them."""

import ipaddress
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx2
import pycurl

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
        place = url.netloc.decode("ascii")
        host, port = url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]
        if self._egress is not None and (refused := self._egress.refusal_of_host(host, port)) is not None:
            raise NodeError(f'"{place}" {refused}')
        loop = self._loop
        if loop is None:
            loop = self._loop = CurlLoop(self._max_keepalive)
        for is_fresh in (False, True):
            proxy = None if self._proxies is None else self._proxies.find(url)
            easy = self._make_handle(method, url, headers, body, connect_timeout, proxy)
            if is_fresh:
                easy.setopt(pycurl.FRESH_CONNECT, 1)
            exchange = CurlExchange(
                easy,
                place=place,
                host=url.host,
                connections=loop.connections,
                refusal=None if proxy is not None else self._refusal_of_addresses(host, port),
                read_timeout=read_timeout,
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
        raise TransportTimeout(f'no connection to "{place}"')

    async def aclose(self) -> None:
        """See `HTTPTransport`."""
        if self._loop is not None:
            self._loop.close()

    def _refusal_of_addresses(self, host: str, port: int) -> Callable[[str], str | None] | None:
        egress = self._egress
        if egress is None:
            return None

        def refusal(address: str) -> str | None:
            # An IPv6 address may name a network interface behind a percent sign.
            parsed = ipaddress.ip_address(address.partition("%")[0])
            return egress.refusal_of_address(host, port, parsed)

        return refusal

    def _make_handle(
        self,
        method: str,
        url: httpx2.URL,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None,
        connect_timeout: float | None,
        proxy: str | None,
    ) -> Any:
        easy = pycurl.Curl()
        set_option = easy.setopt
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        target = url.raw_path.decode("ascii")
        # The path is sent as it is; libcurl would write parts of it anew.
        set_option(pycurl.URL, origin)
        set_option(
            pycurl.REQUEST_TARGET,
            origin + target if _is_forwarding(proxy) and url.scheme == "http" else target,
        )
        set_option(pycurl.PROXY, proxy or "")
        set_option(pycurl.NOPROXY, "")
        if proxy is not None:
            set_option(_SUPPRESS_CONNECT_HEADERS, 1)
        set_option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        set_option(pycurl.NOSIGNAL, 1)
        set_option(
            pycurl.CONNECTTIMEOUT_MS, _NEVER if connect_timeout is None else int(connect_timeout * 1000) or 1
        )
        set_option(pycurl.MAXAGE_CONN, self._keepalive)
        if url.scheme == "https":
            self._set_authorities(easy)
            # OpenSSL reads ahead, so that left-over bytes of a server may lie where nothing can see them; they would be
            # the next request's response. Sessions are resumed, which makes the next handshake a short one.
            set_option(pycurl.FORBID_REUSE, 1)
        set_option(pycurl.CUSTOMREQUEST, method)
        if method == "HEAD":
            set_option(pycurl.NOBODY, 1)
        elif body is not None or method in _WITH_EMPTY_BODY:
            set_option(pycurl.POST, 1)
            set_option(pycurl.POSTFIELDSIZE, len(body or b""))
            set_option(pycurl.POSTFIELDS, body or b"")
        set_option(pycurl.HTTPHEADER, _header_lines(headers))
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
