"""The HTTP transports of http and llm nodes: one function makes both, so that both are protected alike."""

from flowgram_core.nodes.network.authorities import find_authorities
from flowgram_core.nodes.network.curl_transport import CurlTransport
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.proxies import Proxies, environment_proxies
from flowgram_core.nodes.network.transport import HTTPTransport, TimeSlice
from flowgram_core.nodes.node_settings import EgressSettings, HTTPSettings, LLMSettings


def make_transport(
    settings: HTTPSettings | LLMSettings,
    *,
    egress: EgressSettings | None = None,
    own_ports: OwnPorts | None = None,
    max_keepalive: int,
    keepalive: float,
    time_slice: TimeSlice,
) -> HTTPTransport:
    """A transport that keeps to the settings: whom it trusts, whether it uses proxies, and what it connects to.

    Args:
        settings: Of the node type.
        egress: Of all node types.
        own_ports: The ports that the server listens on.
        max_keepalive: Idle connections that are kept.
        keepalive: Seconds after which they are not used again.
        time_slice: Shares the event loop with everything else on it.
    """
    egress = egress or EgressSettings()
    ca_file = settings.ca_file if isinstance(settings, HTTPSettings) else None
    denies_private = egress.deny_private if settings.deny_private is None else settings.deny_private
    return CurlTransport(
        authorities=find_authorities(ca_file=ca_file, trust_env=settings.trust_env),
        max_keepalive=max_keepalive,
        keepalive=keepalive,
        proxies=_proxies(settings, egress),
        egress=Egress(egress.allow, egress.deny, denies_private=denies_private, own_ports=own_ports),
        time_slice=time_slice,
    )


def _proxies(settings: HTTPSettings | LLMSettings, egress: EgressSettings) -> Proxies | None:
    if egress.proxy is not None:
        return Proxies({"all": egress.proxy})
    # A proxy connects to private addresses for others.
    return environment_proxies() if settings.trust_env and not settings.deny_private else None
