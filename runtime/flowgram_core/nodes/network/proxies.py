"""The proxies that the environment names: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`."""

import re
from collections.abc import Mapping
from typing import Final
from urllib.request import (  # type: ignore[attr-defined]  # typeshed lacks the second
    getproxies,
    proxy_bypass_environment,
)

import httpx2

from flowgram_core.nodes.http.url import MAX_PORT

_HOST: Final = re.compile(r"[\w.:-]+")
_SCHEMES: Final = frozenset({"http", "https", "socks5", "socks5h"})


class Proxies:
    """Finds the proxy of a request.

    Args:
        addresses: By scheme (`http`, `https`, `all`), and the exceptions under `no`; as `urllib` reads the environment.
    """

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = dict(addresses)

    def find(self, url: httpx2.URL) -> str | None:
        """The address of the proxy, with a scheme. None: connect directly."""
        address = self._addresses.get(url.scheme) or self._addresses.get("all")
        if not address or proxy_bypass_environment(url.netloc.decode("ascii"), self._addresses):
            return None
        address = address if "://" in address else f"http://{address}"
        # The proxy resolves the names of hosts.
        return re.sub("^socks5://", "socks5h://", address)


def environment_proxies() -> Proxies:
    """The proxies of this process's environment."""
    return Proxies(getproxies())


def check_proxies() -> None:
    """Raises `ValueError` where the environment names a proxy that cannot be used. Its text shows no password."""
    proxies = getproxies()
    for scheme in ("http", "https", "all"):
        if (address := proxies.get(scheme)) and not is_proxy(address):
            raise ValueError(
                f"{scheme.upper()}_PROXY should be the address of a proxy, such as http://proxy:3128"
            )


def is_proxy(address: str) -> bool:
    """Whether an address, maybe without its scheme, is one that a proxy can have."""
    try:
        url = httpx2.URL(address if "://" in address else f"http://{address}")
    except httpx2.InvalidURL:
        return False
    return url.scheme in _SCHEMES and bool(_HOST.fullmatch(url.host)) and (url.port or 0) <= MAX_PORT
