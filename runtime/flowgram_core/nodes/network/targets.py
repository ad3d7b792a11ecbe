"""Targets: where requests go, as the parts of an address in the forms in which they are used, remembered from one request to the next."""

from typing import Final

import httpx2

_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 2048
"""Characters of a path that is remembered."""
_MOST: Final = 256
"""Targets that are remembered; then all are made anew."""


class Target:
    """Where a request goes.

    Attributes:
        url: The address itself.
        host_and_port: As messages name the server.
        host: The host, as messages name it.
        ascii_host: The host as name services know it, without brackets.
        port: The port, also where it is the scheme's own.
        origin: Scheme, host and port.
        path: Path and query, as they are sent.
    """

    __slots__ = ("ascii_host", "host", "host_and_port", "origin", "path", "port", "url")

    def __init__(self, url: httpx2.URL) -> None:
        self.url = url
        self.host_and_port: str = url.netloc.decode("ascii")
        self.host: str = url.host
        self.ascii_host: str = url.raw_host.decode("ascii")
        self.port: int = url.port or _PORTS[url.scheme]
        self.origin: str = f"{url.scheme}://{self.host_and_port}"
        self.path: str = url.raw_path.decode("ascii")


class Targets:
    """Remembers targets by the identity of their addresses: one that is asked for again and again is the same object, see `parse_url`."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[int, Target] = {}

    def find(self, url: httpx2.URL) -> Target:
        """The target of an address."""
        known = self._known.get(id(url))
        if known is not None:
            return known
        target = Target(url)
        if len(target.path) <= _LONGEST:
            if len(self._known) >= _MOST:
                self._known.clear()
            # The address is held with its parts, so that no other can have its identity.
            self._known[id(url)] = target
        return target
