"""A guard: reaches public addresses only, so that what users write cannot reach the server's own network."""

import asyncio
import ipaddress
import socket
import ssl

import httpx2

from flowgram_runtime.engine.errors import NodeError
from flowgram_runtime.nodes.paced_network import PacedTransport, Turn, at_once

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as seen through NAT64."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also if it is an IPv4 address in the clothes of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


class PublicNetworkTransport(httpx2.AsyncBaseTransport):
    """Refuses hosts that have any address which is not public.

    It resolves each host itself and connects to an address that it has checked, so that no second answer of the name
    service can lead elsewhere.
    """

    def __init__(self, *, verify: ssl.SSLContext, turn: Turn = at_once) -> None:
        # Connections are pooled by address, and one address may serve several hosts: none may be used again.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._transport = PacedTransport(verify=verify, limits=limits, turn=turn)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request. Raises `NodeError` where its host is not public."""
        url = request.url
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        addresses = [str(entry[4][0]) for entry in found]
        # An IPv6 address may name a network interface behind a percent sign.
        if not addresses or not all(
            is_public(ipaddress.ip_address(text.partition("%")[0])) for text in addresses
        ):
            raise NodeError(f'"{url.host}" is not on the public network, which the settings forbid')
        checked = httpx2.Request(
            request.method,
            url.copy_with(host=addresses[0]),
            headers=request.headers.raw,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await self._transport.handle_async_request(checked)

    async def aclose(self) -> None:
        """Closes what is open."""
        await self._transport.aclose()
