"""The rules of the setting group `egress`: their texts, and which hosts, addresses and ports they name."""

import ipaddress
import re
from contextlib import suppress
from enum import Enum
from typing import Final, NamedTuple, Self

import httpx2

from flowgram_core.nodes.network.ssrf_guard import Address, is_link_local, is_public, seen_as

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE: Final = "private"
_LINK_LOCAL: Final = "link-local"
_ANY: Final = "*"
_MAX_PORT: Final = 65_535
_PORTS: Final = re.compile(r"(.*):([0-9]{1,5})(?:-([0-9]{1,5}))?", re.DOTALL)
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*")
_OF_URLS: Final = re.compile(r"[/?#@:\\\s]")
_LIKE_IPV4: Final = re.compile(r"[0-9.]+")


class RuleKind(Enum):
    """What a rule names."""

    ANY = "any"
    """Every host."""
    NAME = "name"
    """One host, by its name in full."""
    DOMAIN = "domain"
    """The hosts below a domain."""
    NETWORK = "network"
    """An address, or a range of addresses."""
    PRIVATE = "private"
    """All addresses that are not public."""
    LINK_LOCAL = "link-local"
    """Link-local addresses, and those by which clouds give metadata."""


class EgressRule(NamedTuple):
    """One rule.

    Attributes:
        text: As it was written.
        kind: What it names.
        name: Of a host or a domain, in lower case; else empty.
        network: Of addresses; else None.
        ports: The first and the last one that it names; None: all.
    """

    text: str
    kind: RuleKind
    name: str = ""
    network: Network | None = None
    ports: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rule of a text: a host, `*.domain`, an address or range, `private`, `link-local` or `*`, and maybe `:port`.

        Raises:
            ValueError: It is none; the text is for operators.
        """
        text = text.strip()
        target, ports = _split_ports(text)
        match target.lower():
            case "*":
                return cls(text, RuleKind.ANY, ports=ports)
            case "private":
                return cls(text, RuleKind.PRIVATE, ports=ports)
            case "link-local":
                return cls(text, RuleKind.LINK_LOCAL, ports=ports)
        bare = target.removeprefix("[").removesuffix("]")
        if "/" in bare or ":" in bare or _LIKE_IPV4.fullmatch(bare):
            try:
                return cls(text, RuleKind.NETWORK, network=ipaddress.ip_network(bare), ports=ports)
            except ValueError as error:
                raise ValueError(f'"{text}" is no address or range: {error}') from None
        if target.startswith("*."):
            return cls(text, RuleKind.DOMAIN, name=_host_name(target[2:], text), ports=ports)
        return cls(text, RuleKind.NAME, name=_host_name(target, text), ports=ports)

    def has_port(self, port: int) -> bool:
        """Whether it concerns a port."""
        return self.ports is None or self.ports[0] <= port <= self.ports[1]

    def has_host(self, host: str) -> bool:
        """Whether it names a host by its name, as `normal_host` gives it."""
        match self.kind:
            case RuleKind.ANY:
                return True
            case RuleKind.NAME:
                return host == self.name
            case RuleKind.DOMAIN:
                return host.endswith(f".{self.name}")
        return False

    def has_address(self, address: Address) -> bool:
        """Whether it names an address, or the one of IPv4 for which one of IPv6 stands."""
        match self.kind:
            case RuleKind.ANY:
                return True
            case RuleKind.PRIVATE:
                return not is_public(address)
            case RuleKind.LINK_LOCAL:
                return is_link_local(address)
        network = self.network
        return network is not None and any(
            seen.version == network.version and seen in network for seen in seen_as(address)
        )

    @property
    def needs_address(self) -> bool:
        """Whether only an address tells if it applies."""
        return self.kind in {RuleKind.NETWORK, RuleKind.PRIVATE, RuleKind.LINK_LOCAL}


def normal_host(host: str) -> str:
    """The name of a host in the form in which rules are compared: in lower case, without the dot of the root."""
    return host.lower().rstrip(".")


def _split_ports(text: str) -> tuple[str, tuple[int, int] | None]:
    match = _PORTS.fullmatch(text)
    # The colons of an IPv6 address without brackets are its own.
    if match is None or (":" in match[1] and not match[1].endswith("]")):
        return text, None
    first, last = int(match[2]), int(match[3] or match[2])
    if not 0 < first <= last <= _MAX_PORT:
        raise ValueError(f'"{text}" names no port from 1 to {_MAX_PORT}')
    return match[1], (first, last)


def _host_name(name: str, text: str) -> str:
    """A name as it stands in addresses, so of international ones the ASCII form."""
    host = ""
    if not _OF_URLS.search(name):
        with suppress(httpx2.InvalidURL):
            host = normal_host(httpx2.URL(f"http://{name}/").raw_host.decode("ascii"))
    if not _NAME.fullmatch(host):
        raise ValueError(
            f'"{text}" is no rule: give a host, *.domain, an address or range, private, link-local or *, maybe with :port'
        )
    return host
