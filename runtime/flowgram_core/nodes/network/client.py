"""The web as http and llm nodes reach it: one way to make a client, so that what protects the one protects the other."""

import http.cookiejar
import re
import ssl
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Final
from urllib.request import getproxies

import httpx2

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.url import MAX_PORT
from flowgram_core.nodes.network.fair_transport import TimeSlice
from flowgram_core.nodes.network.pooled_transport import PooledTransport
from flowgram_core.nodes.network.ssrf_guard import SSRFGuard
from flowgram_core.nodes.node_settings import HTTPSettings, LLMSettings

Look = Callable[[httpx2.Response], Awaitable[None]]

_HOST: Final = re.compile(r"[\w.:-]+")


def trusted_authorities(*, ca_file: str | None = None, trust_env: bool) -> ssl.SSLContext:
    """The authorities of a PEM file, else the system's. Reading them takes long."""
    if ca_file is not None:
        return ssl.create_default_context(cafile=ca_file)
    return httpx2.create_ssl_context(trust_env=trust_env)


def check_proxies() -> None:
    """Raises `ValueError` where the environment names a proxy that cannot be used. Its text shows no password."""
    proxies = getproxies()
    for scheme in ("http", "https", "all"):
        if address := proxies.get(scheme):
            try:
                url = httpx2.Proxy(address if "://" in address else f"http://{address}").url
            except (ValueError, httpx2.InvalidURL):
                url = httpx2.URL()
            if not _HOST.fullmatch(url.host) or (url.port or 0) > MAX_PORT:
                raise ValueError(
                    f"{scheme.upper()}_PROXY should be the address of a proxy, such as http://proxy:3128"
                )
            if url.scheme.startswith("socks") and find_spec("socksio") is None:
                raise ValueError(f"{scheme.upper()}_PROXY is a SOCKS proxy, which needs the package socksio")


def make_client(
    settings: HTTPSettings | LLMSettings,
    *,
    verify: ssl.SSLContext,
    time_slice: TimeSlice,
    max_connections: int | None,
    max_keepalive: int,
    keepalive: float,
    timeout: httpx2.Timeout | None = None,
    headers: dict[str, str] | None = None,
    follow_redirects: bool = False,
    look: Look | None = None,
) -> httpx2.AsyncClient:
    """A client that keeps connections for a while, cookies never.

    It raises `NodeError` where a host is not to be reached, or a response is compressed more than once.

    Args:
        settings: Where it may go, and whether by a proxy.
        verify: How certificates are checked.
        time_slice: Lets its connections take turns, unless they go by a proxy.
        max_connections: Requests at once; more wait. None: no limit.
        max_keepalive: Idle connections that are kept.
        keepalive: Seconds after which they are not used again; the next request closes them.
        timeout: Of connecting and of silence; None: there is none.
        headers: Of every request, unless it has its own.
        follow_redirects: Whether it follows them.
        look: Gets each response, redirects too, before its body is read.
    """
    by_proxy = settings.trust_env and not settings.deny_private
    transport: httpx2.AsyncBaseTransport | None = None
    if not by_proxy:  # with a transport of ours there would be no proxies
        transport = PooledTransport(
            verify=verify,
            max_connections=max_connections,
            max_keepalive=max_keepalive,
            keepalive=keepalive,
            time_slice=time_slice,
            network=SSRFGuard() if settings.deny_private else None,
        )
    return httpx2.AsyncClient(
        transport=transport,
        verify=verify,
        cookies=http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=())),
        trust_env=by_proxy,
        timeout=timeout,
        headers=headers,
        follow_redirects=follow_redirects,
        event_hooks={"response": [_refuse_nested_codings, *([look] if look else [])]},
        limits=httpx2.Limits(
            max_connections=max_connections,
            max_keepalive_connections=max_keepalive,
            keepalive_expiry=keepalive,
        ),
    )


async def _refuse_nested_codings(response: httpx2.Response) -> None:
    # Each layer makes up to a thousand bytes of one, and all of what has arrived is unpacked at once: a few kilobytes
    # would hold the event loop for minutes, with nothing to show that a limit of size could count.
    codings = response.headers.get_list("content-encoding", split_commas=True)
    if sum(coding.strip().lower() not in {"", "identity"} for coding in codings) > 1:
        raise NodeError("The response is compressed more than once")
