"""Settings of the REST gateway, as plain values."""

import re
from dataclasses import dataclass, field
from typing import Final

LOOPBACK: Final = "loopback"
"""Among origins: stands for every one on this machine."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]+)?")
_HOST_NAME = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


def host_name_of(text: str) -> str:
    """An entry of a list of host names: a name without a port, in lower case, or `*`.

    Raises:
        ValueError: It is none, and would never match; the text is for operators.
    """
    name = text.lower().removeprefix("[").removesuffix("]")
    if name != "*" and not _HOST_NAME.fullmatch(name):
        raise ValueError(f"{text}: is no host name without a port, such as workflows.example.com, or *")
    return name


def origin_of(text: str) -> str:
    """An entry of a list of origins, in the form in which browsers send an origin.

    Raises:
        ValueError: It is none, and would never match; the text is for operators.
    """
    origin = text.lower().removesuffix("/")
    if origin in {LOOPBACK, "*", "null"}:
        return origin
    if not _ORIGIN.fullmatch(origin):
        raise ValueError(f"{text}: is no origin, such as https://editor.example.com, {LOOPBACK}, or *")
    return origin.removesuffix(_USUAL_PORTS.get(origin.partition(":")[0], ":"))


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of the connections of one listener. Durations are in seconds.

    Attributes:
        max_connections: So many may be open; those beyond are closed at once.
        header_timeout: In this time a peer must have sent the head of a request, and, where it is answered before its body
            has come, the rest of that.
        write_timeout: In this time a peer must read some of an answer that waits for it.
    """

    max_connections: int = 1000
    header_timeout: float = 10.0
    write_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """How a gateway serves.

    Attributes:
        cors_origins: The origins whose pages may use it; `*` stands for all, `loopback` for those on this machine.
        allowed_hosts: Names in a Host header that are answered, beside those of this machine and the address that is
            listened on; `*` stands for all.
        trusted_proxies: The addresses and networks of proxies that are believed whom they forward a request for.
        max_body_bytes: No request body is larger.
        max_bodies_bytes: All request bodies together hold no more; one beyond that is refused for now.
        read_timeout: Seconds in which some of a body must come.
        min_read_rate: Bytes per second that must come of it on average after that.
        heartbeat: Seconds of silence after which a watch sends a comment.
        connections: Bounds of its connections.
    """

    cors_origins: frozenset[str] = frozenset({LOOPBACK})
    allowed_hosts: frozenset[str] = frozenset()
    trusted_proxies: frozenset[str] = frozenset()
    max_body_bytes: int = 48 * 1024 * 1024
    max_bodies_bytes: int = 256 * 1024 * 1024
    read_timeout: float = 10.0
    min_read_rate: float = 8192.0
    heartbeat: float = 15.0
    connections: ConnectionLimits = field(default_factory=ConnectionLimits)
