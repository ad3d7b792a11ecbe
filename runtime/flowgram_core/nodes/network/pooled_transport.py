"""Connections: a transport of several small pools, so that a request costs the same however many others are open.

A pool of the HTTP library looks through all its connections for each request: with 10,000 of them open, one request takes
longer than 10 ms.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Final

import httpcore2
import httpx2

from flowgram_core.nodes.network.fair_transport import FairTransport, TimeSlice, at_once

_POOL_SIZE: Final = 100


class PooledTransport(httpx2.AsyncBaseTransport):
    """Sends each request through the first pool that has a place for it.

    Args:
        verify: How certificates are checked.
        max_connections: Requests at once; more wait, first come first served. None: no limit.
        max_keepalive: Idle connections that are kept.
        keepalive: Seconds after which they are not used again; the next request closes them.
        time_slice: Lets the connections take turns.
        network: Connects them; None: to wherever a request goes.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext,
        max_connections: int | None,
        max_keepalive: int,
        keepalive: float,
        time_slice: TimeSlice = at_once,
        network: httpcore2.AsyncNetworkBackend | None = None,
    ) -> None:
        self._verify = verify
        self._keepalive = keepalive
        self._time_slice = time_slice
        self._network = network or httpcore2.AnyIOBackend()
        self._slots = None if max_connections is None else asyncio.Semaphore(max_connections)
        # Only the first pool, which is always the first choice, keeps connections that nobody uses.
        self._pools = [self._make_pool(max_keepalive)]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends a request; its place is taken until the response is closed."""
        async with AsyncExitStack() as stack:
            if self._slots is not None:
                await stack.enter_async_context(self._slots)
                await self._time_slice()
            pool = self._pool()
            pool.requests += 1
            stack.callback(pool.leave)
            response = await pool.transport.handle_async_request(request)
            # What is done on leaving is done when the response is closed.
            response.stream = _Body(response.stream, stack.pop_all())
            return response

    async def aclose(self) -> None:
        """Closes what is open."""
        for pool in self._pools:
            await pool.transport.aclose()

    def _pool(self) -> "_Pool":
        for pool in self._pools:
            if pool.requests < _POOL_SIZE:
                return pool
        self._pools.append(self._make_pool(0))
        return self._pools[-1]

    def _make_pool(self, max_keepalive: int) -> "_Pool":
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=max_keepalive, keepalive_expiry=self._keepalive
        )
        return _Pool(
            FairTransport(
                verify=self._verify, limits=limits, time_slice=self._time_slice, network=self._network
            )
        )


class _Pool:
    """A pool, and how many requests it has."""

    def __init__(self, transport: httpx2.AsyncHTTPTransport) -> None:
        self.transport = transport
        self.requests = 0

    def leave(self) -> None:
        self.requests -= 1


class _Body(httpx2.AsyncByteStream):
    """A response's body that lets go of its place when it is closed."""

    def __init__(self, stream: object, place: AsyncExitStack) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101 - an asynchronous transport gave it
        self._stream = stream
        self._place = place

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            await self._place.aclose()
