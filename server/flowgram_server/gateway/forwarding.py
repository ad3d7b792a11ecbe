"""Forwarding: which headers of a request become metadata of the calls that the gateway makes for it."""

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from flowgram_client._channel import Metadata
from flowgram_server.auth.private_socket import CERTIFICATE_KEY, PEER_KEY
from flowgram_server.http_connection import CLIENT_CERTIFICATE

_HEADERS: Final = {
    name.encode(): name for name in ("authorization", "flowgram-namespace", "traceparent", "tracestate")
}
"""Headers that become metadata of the same name. No other does: what a service believes of its gateway nobody else may say."""

_UNSENDABLE: Final = re.compile(r"[^ -~]")
"""Characters that HTTP/1 allows in a header, and gRPC does not in metadata; in none of these they mean anything."""

forwarded: Final[ContextVar[Metadata]] = ContextVar("forwarded", default=())
"""The metadata of the calls that are made for the request that is being answered."""


class Forwarding:
    """Sets `forwarded` for each request.

    Args:
        app: Answers the requests.
        session: The credential of the session that a request belongs to, which counts where the request has none itself.
        private: Whether the service believes what the gateway says of a caller's certificate and address.
    """

    def __init__(self, app: ASGIApp, session: Callable[[Scope], str | None], *, private: bool) -> None:
        self._app = app
        self._session = session
        self._private = private

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        forwarded.set(self._metadata(scope))
        await self._app(scope, receive, send)

    def _metadata(self, scope: Scope) -> Metadata:
        metadata: list[tuple[str, str | bytes]] = [
            (_HEADERS[name], _UNSENDABLE.sub("?", value.decode("latin-1")))
            for name, value in scope["headers"]
            if name in _HEADERS
        ]
        if not any(name == "authorization" for name, _ in metadata):
            authorization = self._session(scope)
            if authorization is not None:
                metadata.append(("authorization", authorization))
        if self._private:
            peer = scope.get("client")
            if peer:
                metadata.append((PEER_KEY, f"{peer[0]}:{peer[1]}"))
            certificate = scope.get("state", {}).get(CLIENT_CERTIFICATE)
            if certificate:
                metadata.append((CERTIFICATE_KEY, certificate))
        return tuple(metadata)
