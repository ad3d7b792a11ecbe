"""The HTTP transport over libcurl: sends requests over connections that are used again, to what may be connected to."""

import httpx2
from mypy_extensions import mypyc_attr

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.authorities import Authorities
from flowgram_core.nodes.network.curl_exchange import CurlExchange
from flowgram_core.nodes.network.curl_handles import Handles, Headers
from flowgram_core.nodes.network.curl_loop import CurlLoop
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.proxies import Proxies
from flowgram_core.nodes.network.targets import Target, Targets
from flowgram_core.nodes.network.transport import HTTPResponse, TimeSlice, TransportTimeout, at_once


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
        handles: libcurl's; None: made with these authorities.
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
        handles: Handles | None = None,
    ) -> None:
        self._max_keepalive = max_keepalive if keepalive > 0 else 0
        self._handles = handles or Handles(authorities, keepalive)
        self._proxies = proxies
        self._egress = egress
        self._time_slice = time_slice
        self._loop: CurlLoop | None = None
        self._targets = Targets()

    async def send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Headers,
        body: bytes | None,
        *,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
    ) -> HTTPResponse:
        """See `HTTPTransport`."""
        await self._time_slice()
        target = self._targets.find(url)
        # What a name tells may change while the server runs, and is decided for each request.
        egress = self._egress
        if (
            egress is not None
            and (refused := egress.refusal_of_host(target.ascii_host, target.port)) is not None
        ):
            raise NodeError(f'"{target.host_and_port}" {refused}')
        for is_fresh in (False, True):
            exchange = self._start(target, method, headers, body, connect_timeout, read_timeout, is_fresh)
            try:
                while exchange.is_waiting_for_head():
                    await exchange.news()
                # Of many responses that arrive at once, few are handed on at a time.
                await self._time_slice()
            except BaseException:
                exchange.close()
                raise
            if exchange.has_head:
                return exchange
        raise TransportTimeout(f'no connection to "{target.host_and_port}"')

    async def aclose(self) -> None:
        """See `HTTPTransport`."""
        if self._loop is not None:
            self._loop.close()
        self._handles.close()

    def _start(
        self,
        target: Target,
        method: str,
        headers: Headers,
        body: bytes | None,
        connect_timeout: float | None,
        read_timeout: float | None,
        is_fresh: bool,
    ) -> CurlExchange:
        """Begins a request, over a new connection if it is to be fresh."""
        loop = self._loop
        if loop is None:
            loop = self._loop = CurlLoop(self._max_keepalive)
        origin = target.origin
        proxy = None if self._proxies is None else self._proxies.find(target.url)
        path = target.path
        if proxy is not None and proxy.startswith("http") and origin.startswith("http:"):
            path = origin + path  # such a proxy is given the whole address
        handle = self._handles.take((origin, proxy, connect_timeout, method, body is not None, is_fresh))
        handle.prepare(path, headers, body)
        exchange = CurlExchange(
            handle,
            target,
            connections=loop.connections,
            egress=None if proxy is not None else self._egress,
            read_timeout=read_timeout,
            handles=None if is_fresh else self._handles,
        )
        loop.start(exchange)
        return exchange
