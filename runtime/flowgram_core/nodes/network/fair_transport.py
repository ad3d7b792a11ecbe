"""A network that takes turns: of the many connections that have something to do at once, few go on at a time.

To read an answer costs the HTTP library far more than to receive it. Where hundreds arrive in one instant, the event loop
would read them all before it serves anybody else; here each waits for its turn between the two.
"""

import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpcore2
import httpx2

TimeSlice = Callable[[], Awaitable[None]]
"""Returns when the caller may go on."""


async def at_once() -> None:
    """The turn of those who share with nobody."""


class FairTransport(httpx2.AsyncHTTPTransport):
    """A transport whose connections take turns, and which never uses a proxy.

    Args:
        verify: How certificates are checked.
        limits: Of its connections.
        time_slice: Gives them their turns.
        network: Connects them.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext,
        limits: httpx2.Limits,
        time_slice: TimeSlice,
        network: httpcore2.AsyncNetworkBackend,
    ) -> None:
        super().__init__(verify=verify, trust_env=False, limits=limits)
        # The transport has no argument for it. Its pool has opened nothing yet.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=verify,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=_Backend(time_slice, network),
        )


class _Backend(httpcore2.AsyncNetworkBackend):
    def __init__(self, time_slice: TimeSlice, network: httpcore2.AsyncNetworkBackend) -> None:
        self._time_slice = time_slice
        self._network = network

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as the library has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return await _taken(stream, self._time_slice)


class _Stream(httpcore2.AsyncNetworkStream):
    def __init__(self, stream: httpcore2.AsyncNetworkStream, time_slice: TimeSlice) -> None:
        self._stream = stream
        self._time_slice = time_slice

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - as above
        data = await self._stream.read(max_bytes, timeout)
        await self._time_slice()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> httpcore2.AsyncNetworkStream:
        secure = await self._stream.start_tls(ssl_context, server_hostname, timeout)
        return await _taken(secure, self._time_slice)


async def _taken(stream: httpcore2.AsyncNetworkStream, time_slice: TimeSlice) -> httpcore2.AsyncNetworkStream:
    """A stream that takes turns, when it has had its first one. Closed, if that never comes."""
    try:
        await time_slice()
    except BaseException:
        await stream.aclose()
        raise
    return _Stream(stream, time_slice)
