"""The Host check: refuses requests under a foreign host name (DNS rebinding).

A browser sends the name of the page's address as Host, whatever that name leads to. So only names that this gateway is known
by are answered: those of this machine, the address that it listens on, and what the setting allowed_hosts adds. Addresses
themselves cannot be rebound; where a gateway listens on all of its machine's addresses, each of them is allowed.
"""

import ipaddress
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from flowgram_server.gateway.errors import ErrorAnswer
from flowgram_server.gateway.responses import error_answer

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - they are compared with, and not listened on


class AllowedHosts:
    """Says which names in a Host header are this gateway's.

    Args:
        listened: The host that the gateway listens on.
        names: Further names, in lower case; `*` stands for all.
    """

    def __init__(self, listened: str, names: Iterable[str] = ()) -> None:
        self._names = _LOOPBACK.union((name.removesuffix(".") for name in names), {listened.lower()})
        self._any_name = "*" in self._names
        self._any_address = listened in _WILDCARDS

    def allows(self, host: str) -> bool:
        """Whether a Host header names this gateway; its port does not matter."""
        name = _without_port(host.strip().lower())
        if self._any_name or name in self._names or name.endswith(".localhost"):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._any_address or address.is_loopback


class HostCheck:
    """Refuses requests whose Host header is not one of the gateway's names."""

    def __init__(self, app: ASGIApp, allowed: AllowedHosts) -> None:
        self._app = app
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        if self._allowed.allows(host):
            await self._app(scope, receive, send)
            return
        text = f"this gateway is not known as {host[:256]}: the setting allowed_hosts does not name it"
        answer = ErrorAnswer(HTTPStatus.FORBIDDEN, "HOST_NOT_ALLOWED", text)
        await error_answer(answer)(scope, receive, send)


def is_own_origin(origin: str, headers: Headers) -> bool:
    """Whether an origin is that of the gateway's own pages, by the name that the request knows it by, which was checked.

    The scheme does not matter: a proxy in front may have decrypted the request.
    """
    return origin.partition("://")[2] == headers.get("host")


def _without_port(host: str) -> str:
    """The name itself, without the dot of the root that may end it."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    if colon and name and (not port or port.isdigit()):
        host = name
    return host.removesuffix(".")
