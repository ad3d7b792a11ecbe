"""Redirects, by the rules of the web. Source: the fetch standard, "HTTP-redirect fetch"."""

from collections.abc import Callable, Collection, Mapping
from typing import Final
from urllib.parse import urljoin

import httpx2

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.credentials import is_credential

_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_OF_THE_BODY: Final = frozenset({"content-encoding", "content-language", "content-location", "content-type"})


URLCheck = Callable[[httpx2.URL], None]
"""Raises `NodeError` for an address that a request must not be sent to."""


class Request:
    """A request, ready to be sent as often as it takes.

    Attributes:
        method: In upper case.
        url: With its query.
        headers: By their names in lower case.
        body: None for no body at all.
    """

    __slots__ = ("body", "headers", "method", "url")

    def __init__(self, method: str, url: httpx2.URL, headers: Mapping[str, str], body: bytes | None) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body


def is_redirect(status_code: int, location: bytes | None) -> bool:
    """Whether a response leads to another address."""
    return location is not None and status_code in _STATUSES


def redirect(
    request: Request, status_code: int, location: bytes, secret_names: Collection[str] = ()
) -> Request:
    """The request that follows a redirect. To another origin it takes no header along that carries a credential.

    Args:
        request: What was answered with the redirect.
        status_code: 301, 302, 303, 307 or 308.
        location: The address, which may be relative.
        secret_names: Headers, in lower case, that carry credentials besides those that are known by their names.

    Raises:
        NodeError: The address cannot be used.
    """
    method, url, headers, body = request.method, request.url, request.headers, request.body
    try:
        target = parse_url(urljoin(str(url), location.decode("utf-8", "replace")))
    except (NodeError, ValueError) as error:
        raise NodeError(
            f'HTTP request failed: "{url.netloc.decode("ascii")}" redirects to an address that cannot be used'
        ) from error
    if (status_code in {301, 302} and method == "POST") or (
        status_code == 303 and method not in {"GET", "HEAD"}
    ):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if name not in _OF_THE_BODY}
    if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        headers = {
            name: value
            for name, value in headers.items()
            if name != "host" and not is_credential(name, secret_names)
        }
    return Request(method, target, headers, body)
