"""The server's own ports, which workflows must not reach from within."""

import socket
from collections.abc import Iterable

from flowgram_core.nodes.network.ssrf_guard import Address, seen_as


class OwnPorts:
    """The ports that the server listens on, on whatever addresses its machine has.

    Args:
        ports: Those that are known; more come as they are bound.
    """

    def __init__(self, ports: Iterable[int] = ()) -> None:
        self._ports = {*ports} - {0}

    def add(self, port: int) -> None:
        """The server listens on a port; 0 stands for one that is not yet known."""
        self._ports.update({port} - {0})

    def __contains__(self, port: int) -> bool:
        """Whether the server listens on a port."""
        return port in self._ports

    def has(self, port: int, address: Address) -> bool:
        """Whether a connection to a port of an address would lead to the server."""
        return port in self._ports and any(_is_of_this_machine(seen) for seen in seen_as(address))


def _is_of_this_machine(address: Address) -> bool:
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    # A socket can be bound to the addresses of this machine only. No packet is sent.
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
