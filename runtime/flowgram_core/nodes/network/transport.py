"""The interface between the node types that speak HTTP and what sends their requests."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import httpx2

from flowgram_core.nodes.errors import CallError

TimeSlice = Callable[[], Awaitable[None]]
"""Returns when the caller may use the event loop again: at once while nobody else waits for it."""


async def at_once() -> None:
    """The time slice of a caller that shares the event loop with nobody."""


class TransportError(CallError):
    """A request got no response, or its response broke off. The text is for users and names the server."""


class TransportTimeout(TransportError):
    """The server could not be reached in time, or was silent for too long."""


class HTTPResponse(Protocol):
    """A response whose head has arrived. Close it when it is not read to its end.

    Attributes:
        status_code: From 200 to 599.
        headers: Names and values in the order and the bytes in which they came, names in lower case.
    """

    @property
    def status_code(self) -> int:
        """See the class."""
        ...

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """See the class."""
        ...

    @property
    def is_over(self) -> bool:
        """Whether all of the response has come, and was read."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body as it was sent, so maybe compressed; empty at the end.

        Raises:
            TransportError: The connection broke, or was silent for too long.
        """
        ...

    def close(self) -> None:
        """Ends the exchange; a connection whose response was not read to its end is closed."""
        ...


class HTTPTransport(Protocol):
    """Sends requests as they are: it follows no redirects, keeps no cookies, and adds no headers but Host and framing."""

    async def send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Sequence[tuple[bytes, bytes]],
        body: bytes | None,
        *,
        connect_timeout: float | None = None,
        read_timeout: float | None = None,
    ) -> HTTPResponse:
        """Sends a request once. When the caller is cancelled, the connection is closed.

        Args:
            method: In upper case.
            url: Scheme, host, port, path and query are sent as they are.
            headers: Those of framing (`Content-Length` and so on) are left out: they follow from the body.
            body: None for no body at all.
            connect_timeout: Seconds in which a connection must stand, name resolution and TLS included.
            read_timeout: Seconds for which the server may be silent, before its response and within it.

        Raises:
            TransportError: No response came.
            NodeError: The settings forbid the server's address.
        """
        ...

    async def aclose(self) -> None:
        """Ends all exchanges and closes all connections."""
        ...
