"""Ports for servers that are started more than once."""

import random
import socket

_PORTS = range(20_000, 30_000)
"""Below those that systems give to outgoing connections: the port must be free whenever a server is started."""


def lasting_port() -> int:
    """A port on loopback that nobody uses, and that nobody is given who does not ask for it."""
    for port in random.sample(_PORTS, 100):  # which one does not matter to what is tested
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
