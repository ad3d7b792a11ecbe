"""The SSRF guard: which addresses belong to the public internet, so that what users write cannot reach the server's network.

The table is that of IANA's registries of special-purpose addresses (RFC 6890 and what was added since), not that of the
`ipaddress` module, which differs between versions of Python. A range is refused as a whole, also where a few addresses in
it could be reached, and so are addresses by which clouds give their machines metadata and credentials. AS112 and AMT (192.31.196.0/24,
192.52.193.0/24, 192.175.48.0/24, 2620:4f:8000::/48) are special-purpose, too, but globally reachable by the registries: anycast services
of the internet, which lead into no network of the server's. So they are public here; what the registries allow of 2001::/23 is refused with it.
"""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_REFUSED_IPV4: Final = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host on this network, RFC 791
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # shared address space, RFC 6598; metadata of Alibaba Cloud
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # Azure's platform services: public by its number, inside by its route
        "169.254.0.0/16",  # link-local, RFC 3927; metadata of most clouds
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890; metadata of Oracle Cloud
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, deprecated by RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 1112
        "240.0.0.0/4",  # reserved, RFC 1112; the limited broadcast
    )
)
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that the registry of IPv6 addresses has given to the public internet so far."""
_REFUSED_IPV6: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments, RFC 2928; among them Teredo, benchmarks and ORCHID
        "2001:db8::/32",  # documentation, RFC 3849
        "3fff::/20",  # documentation, RFC 9637
    )
)
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as seen through NAT64, RFC 6052."""
_6TO4: Final = ipaddress.IPv6Network("2002::/16")


_LINK_LOCAL: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "169.254.0.0/16",  # RFC 3927; metadata of most clouds
        "fe80::/10",  # RFC 4291
        "168.63.129.16/32",  # Azure's platform services
        "100.100.100.200/32",  # metadata of Alibaba Cloud
        "192.0.0.192/32",  # metadata of Oracle Cloud
        "fd00:ec2::/32",  # metadata and other services of Amazon's cloud
        "fd20:ce::254/128",  # metadata of Google's cloud
    )
)


def seen_as(address: Address) -> tuple[Address, ...]:
    """An address, and the one of IPv4 for which one of IPv6 stands: mapped, translated, or 6to4."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _MAPPED or address in _TRANSLATED:
            return address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address in _6TO4:
            return address, ipaddress.IPv4Address(int(address) >> 80 & 0xFFFFFFFF)
    return (address,)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet; one of IPv6 that stands for one of IPv4, if that does."""
    seen = seen_as(address)[-1]
    if isinstance(seen, ipaddress.IPv4Address):
        return not any(seen in network for network in _REFUSED_IPV4)
    return seen in _GLOBAL_UNICAST and not any(seen in network for network in _REFUSED_IPV6)


def is_link_local(address: Address) -> bool:
    """Whether an address is link-local, or one by which clouds give their machines metadata and credentials."""
    return any(
        seen.version == network.version and seen in network
        for seen in seen_as(address)
        for network in _LINK_LOCAL
    )
