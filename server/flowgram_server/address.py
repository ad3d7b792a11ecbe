"""Addresses of the form HOST:PORT: parsing them, listening on them, and reaching a local server by them."""

import errno
import ipaddress
import socket
from urllib.parse import urlsplit

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - they are replaced here
_MAX_PORT = 65_535


class AddressUnusable(Exception):
    """HTTP cannot be listened for where it should be; the text is for operators."""


def host_and_port(address: str) -> tuple[str, int]:
    """The parts of HOST:PORT, of an IPv6 address without its brackets.

    Raises:
        ValueError: It is not of that form; the text is for users.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _MAX_PORT:
        raise ValueError("should be HOST:PORT, such as 127.0.0.1:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether HOST:PORT, or a URL's authority, is of this machine alone. A name other than localhost may be anything."""
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def is_protected(url: str) -> bool:
    """Whether nobody on the way can read or change what is fetched from a URL: by https, or from this machine."""
    parts = urlsplit(url)
    if not parts.hostname:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(f"{parts.hostname}:0"))


def bind(listen: str) -> socket.socket:
    """A socket that listens on HOST:PORT; port 0 takes any that is free. Raises `AddressUnusable`."""
    try:
        return listen_on(*host_and_port(listen))
    except OSError as error:
        why = "another program listens there" if error.errno == errno.EADDRINUSE else error.strerror
        raise AddressUnusable(f"cannot listen on {listen} for HTTP: {why}") from None


def listen_on(host: str, port: int) -> socket.socket:
    """The same of a host and a port. Raises `OSError`."""
    listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    # Connections inherit both: events leave at once, and a client whose machine has vanished is noticed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """HOST:PORT that a socket listens on."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"


def from_within(address: str) -> str:
    """HOST:PORT by which a server that listens on an address is reached in its own machine."""
    host, _, port = address.rpartition(":")
    return f"{_WILDCARDS.get(host, host)}:{port}"
