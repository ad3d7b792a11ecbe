"""A guard: reaches public addresses only, so that what users write cannot reach the server's own network."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

import httpcore2

from flowgram_core.engine.errors import NodeError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, the best one first. Raises `OSError` and `UnicodeError` where it has none."""

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as seen through NAT64."""
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that the registry of IPv6 addresses has given to the public internet so far."""
_DOCUMENTATION: Final = ipaddress.IPv6Network("3fff::/20")
"""For examples, RFC 9637; newer than some versions of Python."""
_CONNECT_TIMEOUT: Final = 2.0
"""Seconds that an address of a host may take to answer while there are more."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, also if it is an IPv4 address in the clothes of IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL_UNICAST or address in _DOCUMENTATION:
            return False
    return address.is_global and not address.is_multicast


async def resolve(host: str, port: int) -> Sequence[str]:
    """A host's addresses, from the operating system."""
    # In bytes the name is taken as it stands; of a text Python would make another, with rules of its own.
    found = await asyncio.get_running_loop().getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class SSRFGuard(httpcore2.AnyIOBackend):
    """Connects to public addresses only.

    It resolves each host itself and connects to addresses that it has checked, so that no second answer of the name
    service can lead elsewhere.

    Args:
        resolve: Gives the addresses of a host.
        accepts: Whether an address may be connected to.
    """

    def __init__(self, *, resolve: Resolve = resolve, accepts: Callable[[Address], bool] = is_public) -> None:
        self._resolve = resolve
        self._accepts = accepts

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as the library has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connects to the first of a host's addresses that answers. Raises `NodeError` where one of them is not public."""
        try:
            async with asyncio.timeout(timeout):
                *others, last = await self._checked(host, port)
                for address in others:
                    with suppress(httpcore2.ConnectError, httpcore2.ConnectTimeout):
                        return await super().connect_tcp(
                            address, port, _CONNECT_TIMEOUT, local_address, socket_options
                        )
                return await super().connect_tcp(last, port, None, local_address, socket_options)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(str(error)) from error

    async def _checked(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(str(error)) from error
        # An IPv6 address may name a network interface behind a percent sign.
        if not addresses or not all(
            self._accepts(ipaddress.ip_address(text.partition("%")[0])) for text in addresses
        ):
            raise NodeError(f'"{host}" is not on the public network, which the settings forbid')
        return addresses
