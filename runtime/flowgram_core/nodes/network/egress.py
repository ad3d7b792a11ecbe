"""Egress: which hosts, addresses and ports http and llm nodes may connect to.

What a name tells is decided before it is resolved, so that a host that is not allowed is not even asked for; what an address
tells, where the connection is made, so that no second answer of a name service can differ from the first.
"""

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from flowgram_core.nodes.network.egress_rules import EgressRule, RuleKind, normal_host
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.network.ssrf_guard import Address, is_link_local, is_public

_NAMING: Final = frozenset({RuleKind.NAME, RuleKind.NETWORK, RuleKind.PRIVATE})
"""Rules that allow what is denied as private: an operator knows a host, or an address, by these."""

_LONGEST_NAME: Final = 253
"""Characters; see RFC 1035. Longer ones are no names, and not remembered."""
_MOST_DECISIONS: Final = 4096
"""Remembered; then all are made anew."""


class Egress:
    """Decides about connections, in this order.

    1. The server's own ports are denied, unless a rule of `allow` names the host or address with its port.
    2. Link-local addresses and those of clouds' metadata are denied, unless `allow` names the address.
    3. What `deny` names is denied.
    4. What is not public is denied where `private` is, unless `allow` names the host in full, or the address.
    5. Where `allow` is not empty, only what it names is allowed.

    Args:
        allow: The rules of what is allowed.
        deny: The rules of what is denied.
        denies_private: Whether `private` is denied.
        own_ports: The ports that the server listens on.
    """

    def __init__(
        self,
        allow: Iterable[EgressRule] = (),
        deny: Iterable[EgressRule] = (),
        *,
        denies_private: bool = False,
        own_ports: OwnPorts | None = None,
    ) -> None:
        deny = tuple(deny)
        # `private` alone is a default that yields to what is allowed; with a port it is a rule like others.
        self._denies_private = denies_private or any(_is_private(rule) for rule in deny)
        self._deny = tuple(rule for rule in deny if not _is_private(rule))
        self._allow = tuple(allow)
        self._own_ports = own_ports or OwnPorts()
        self._decisions: dict[tuple[str, int], str | None] = {}
        self._decisions_of_addresses: dict[tuple[str, int, str], str | None] = {}

    def refusal_of_host(self, host: str, port: int) -> str | None:
        """Why a host is not connected to, as far as its name tells; None where nothing speaks against it.

        Args:
            host: A name or an address, as it stands in a URL, without brackets.
            port: Of the connection.
        """
        # Nodes ask for the same hosts again and again, and the rules stay; the ports of the server come one by one.
        if port in self._own_ports or len(host) > _LONGEST_NAME:
            return self._decide(host, port)
        try:
            return self._decisions[host, port]
        except KeyError:
            if len(self._decisions) >= _MOST_DECISIONS:
                self._decisions.clear()
            decision = self._decisions[host, port] = self._decide(host, port)
            return decision

    def _decide(self, host: str, port: int) -> str | None:
        address = literal_address(host)
        if address is not None:
            return self.refusal_of_address(host, port, address)
        host = normal_host(host)
        for rule in self._deny:
            if rule.has_port(port) and rule.has_host(host):
                return _by_rule(rule.text)
        if self._allow and not any(
            rule.has_port(port) and (rule.needs_address or rule.has_host(host)) for rule in self._allow
        ):
            return _NOT_ALLOWED
        return None

    def refusal_at(self, host: str, port: int, address: str) -> str | None:
        """Why an address is not connected to, as `refusal_of_address` has it; decisions are remembered.

        Args:
            host: As for `refusal_of_host`.
            port: Of the connection.
            address: What the host has been resolved to, as a text; one of IPv6 may name a network interface behind a percent sign.
        """
        if port in self._own_ports or len(host) > _LONGEST_NAME:
            return self.refusal_of_address(host, port, _address(address))
        decisions = self._decisions_of_addresses
        known = (host, port, address)
        if known in decisions:
            return decisions[known]
        if len(decisions) >= _MOST_DECISIONS:
            decisions.clear()
        decision = decisions[known] = self.refusal_of_address(host, port, _address(address))
        return decision

    def refusal_of_address(self, host: str, port: int, address: Address) -> str | None:
        """Why an address is not connected to; None where it may be.

        Args:
            host: As for `refusal_of_host`.
            port: Of the connection.
            address: What the host has been resolved to.
        """
        host = normal_host(host)
        allowing = [
            rule
            for rule in self._allow
            if rule.has_port(port) and (rule.has_host(host) or rule.has_address(address))
        ]
        if self._own_ports.has(port, address) and not any(
            rule.ports is not None and rule.kind in _NAMING for rule in allowing
        ):
            return _by_rule("own ports")
        if is_link_local(address) and not any(_names_link_local(rule) for rule in allowing):
            return _by_rule("link-local")
        for rule in self._deny:
            if rule.has_port(port) and (rule.has_host(host) or rule.has_address(address)):
                return _by_rule(rule.text)
        if (
            self._denies_private
            and not is_public(address)
            and not any(rule.kind in _NAMING or _names_link_local(rule) for rule in allowing)
        ):
            return _by_rule("private")
        return _NOT_ALLOWED if self._allow and not allowing else None


_NOT_ALLOWED: Final = "is not among what the setting egress.allow names"


def _address(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _by_rule(text: str) -> str:
    return f'is denied by the egress rule "{text}"'


def _is_private(rule: EgressRule) -> bool:
    return rule.kind is RuleKind.PRIVATE and rule.ports is None


def _names_link_local(rule: EgressRule) -> bool:
    """Whether a rule names link-local addresses as such, and not by a name that could be made to lead there."""
    if rule.kind is RuleKind.LINK_LOCAL:
        return True
    network = rule.network
    return network is not None and is_link_local(network[0]) and is_link_local(network[-1])


def literal_address(host: str) -> Address | None:
    """The address that a host is, also in the old forms of IPv4 (`127.1`, `0x7f000001`); None for a name."""
    bare = host.partition("%")[0]
    with suppress(ValueError):
        return ipaddress.ip_address(bare)
    with suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(bare.rstrip(".")))
    return None
