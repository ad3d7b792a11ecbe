"""How http and llm nodes reach the web: one way to make a transport, so that what protects the one protects the other."""

from flowgram_core.nodes.network.authorities import find_authorities
from flowgram_core.nodes.network.curl_transport import CurlTransport
from flowgram_core.nodes.network.proxies import environment_proxies
from flowgram_core.nodes.network.ssrf_guard import is_public
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice
from flowgram_core.nodes.node_settings import HTTPSettings, LLMSettings


def make_transport(
    settings: HTTPSettings | LLMSettings,
    *,
    max_keepalive: int,
    keepalive: float,
    time_slice: TimeSlice,
) -> HTTPTransport:
    """A transport that keeps to the settings: whom it trusts, whether it uses proxies, and which addresses it refuses.

    Args:
        settings: Of the node type.
        max_keepalive: Idle connections that are kept.
        keepalive: Seconds after which they are not used again.
        time_slice: Shares the event loop with everything else on it.
    """
    ca_file = settings.ca_file if isinstance(settings, HTTPSettings) else None
    by_proxy = settings.trust_env and not settings.deny_private
    return CurlTransport(
        authorities=find_authorities(ca_file=ca_file, trust_env=settings.trust_env),
        max_keepalive=max_keepalive,
        keepalive=keepalive,
        proxies=environment_proxies() if by_proxy else None,
        accepts=is_public if settings.deny_private else None,
        time_slice=time_slice,
    )
