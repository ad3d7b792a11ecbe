"""libcurl's multi interface on an asyncio event loop, in steps that leave time for everything else on it."""

import asyncio
import selectors
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pycurl

from flowgram_core.nodes.network.curl_exchange import Connections, CurlExchange
from flowgram_core.nodes.network.transport import TransportError

_STEP: Final = 0.004
"""Seconds of work on sockets after which everything else on the event loop has its turn."""
_POOL_SIZE: Final = 250
"""Exchanges of one multi handle: libcurl looks through all connections of its pool for each request."""


class _Pool:
    """A multi handle: its exchanges, and when it wants to be called."""

    def __init__(self, *, keeps_connections: bool) -> None:
        self.multi = pycurl.CurlMulti()
        self.exchanges: dict[Any, CurlExchange] = {}
        self.keeps_connections = keeps_connections
        self.is_due = False
        self.timer: asyncio.TimerHandle | None = None


class CurlLoop:
    """Runs exchanges. Sockets are watched by a selector of its own, which the event loop watches as one file.

    So a step takes as many sockets as there is time for, however many are ready at once.

    Args:
        max_keepalive: Idle connections that are kept.
    """

    def __init__(self, max_keepalive: int) -> None:
        self.connections = Connections()
        self._loop = asyncio.get_running_loop()
        self._max_keepalive = max_keepalive
        self._selector = selectors.DefaultSelector()
        self._descriptor: int = self._selector.fileno()
        self._loop.add_reader(self._descriptor, self._step)
        # Only the first pool, which is always the first choice, keeps connections that nobody uses.
        self._pools = [self._make_pool(keeps_connections=max_keepalive > 0)]
        self._waiting: deque[tuple[CurlExchange, _Pool]] = deque()
        self._due: deque[_Pool] = deque()
        self._ready: deque[tuple[int, int, _Pool]] = deque()
        self._is_scheduled = False
        self._is_closed = False

    def start(self, exchange: CurlExchange) -> None:
        """Lets an exchange begin as soon as there is time for it."""
        if self._is_closed:
            raise TransportError("the server stops")
        pool = self._choose_pool()
        if not pool.keeps_connections:
            exchange.easy.setopt(pycurl.FORBID_REUSE, 1)
        pool.exchanges[exchange.easy] = exchange
        exchange.started(self._abandon)
        self._waiting.append((exchange, pool))
        self._schedule()

    def close(self) -> None:
        """Ends all exchanges, and closes all connections."""
        self._is_closed = True
        self._loop.remove_reader(self._descriptor)
        for pool in self._pools:
            if pool.timer is not None:
                pool.timer.cancel()
            for easy, exchange in list(pool.exchanges.items()):
                self._remove(pool, easy)
                exchange.fail(TransportError("the server stops"))
            pool.multi.close()
        self._waiting.clear()
        self._due.clear()
        self._ready.clear()
        self._selector.close()

    def _choose_pool(self) -> _Pool:
        for pool in self._pools:
            if len(pool.exchanges) < _POOL_SIZE:
                return pool
        self._pools.append(self._make_pool(keeps_connections=False))
        return self._pools[-1]

    def _make_pool(self, *, keeps_connections: bool) -> _Pool:
        pool = _Pool(keeps_connections=keeps_connections)
        pool.multi.setopt(pycurl.M_SOCKETFUNCTION, self._socket_callback(pool))
        pool.multi.setopt(pycurl.M_TIMERFUNCTION, self._timer_callback(pool))
        return pool

    def _socket_callback(self, pool: _Pool) -> Callable[[int, int, object, object], None]:
        selector = self._selector

        def watch(what: int, descriptor: int, multi: object, data: object) -> None:  # noqa: ARG001
            with suppress(KeyError, OSError):  # not watched, or closed
                selector.unregister(descriptor)
            if what != pycurl.POLL_REMOVE:
                selector.register(descriptor, what & (selectors.EVENT_READ | selectors.EVENT_WRITE), pool)

        return watch

    def _timer_callback(self, pool: _Pool) -> Callable[[int], None]:
        def set_timer(milliseconds: int) -> None:
            if pool.timer is not None:
                pool.timer.cancel()
                pool.timer = None
            if milliseconds > 0:
                pool.timer = self._loop.call_later(milliseconds / 1000, self._time_is_up, pool)
            elif milliseconds == 0:
                self._make_due(pool)

        return set_timer

    def _time_is_up(self, pool: _Pool) -> None:
        pool.timer = None
        self._make_due(pool)

    def _make_due(self, pool: _Pool) -> None:
        if not pool.is_due and not self._is_closed:
            pool.is_due = True
            self._due.append(pool)
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._scheduled_step)

    def _scheduled_step(self) -> None:
        self._is_scheduled = False
        self._step()

    def _step(self) -> None:
        """Works until nothing is left to do, or the time of a step is over; then the next one is scheduled."""
        if self._is_closed:
            return
        end = time.perf_counter() + _STEP
        while self._work():
            if time.perf_counter() >= end:
                self._schedule()
                return

    def _work(self) -> bool:
        """Does one thing. False where there is none to do."""
        if self._due:
            pool = self._due.popleft()
            pool.is_due = False
            pool.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        elif self._waiting:
            exchange, pool = self._waiting.popleft()
            if exchange.easy not in pool.exchanges:  # it was abandoned
                return True
            pool.multi.add_handle(exchange.easy)
        elif self._ready or self._select():
            descriptor, events, pool = self._ready.popleft()
            # The numbers of both agree: 1 is reading, 2 is writing.
            pool.multi.socket_action(descriptor, events)
        else:
            return False
        self._finish(pool)
        return True

    def _select(self) -> bool:
        self._ready.extend((key.fd, events, key.data) for key, events in self._selector.select(0))
        return bool(self._ready)

    def _finish(self, pool: _Pool) -> None:
        _, succeeded, failed = pool.multi.info_read()
        for easy in succeeded:
            self._remove(pool, easy).finished(None)
        for easy, code, message in failed:
            self._remove(pool, easy).finished((code, message))

    def _remove(self, pool: _Pool, easy: Any) -> CurlExchange:
        exchange = pool.exchanges.pop(easy)
        # What libcurl bounds are all connections of a pool, those in use included.
        pool.multi.setopt(pycurl.M_MAXCONNECTS, len(pool.exchanges) + max(self._max_keepalive, 1))
        with suppress(pycurl.error):  # it was not yet added
            pool.multi.remove_handle(easy)
        return exchange

    def _abandon(self, exchange: CurlExchange) -> None:
        for pool in self._pools:
            if exchange.easy in pool.exchanges:
                self._remove(pool, exchange.easy)
                exchange.fail(TransportError("the request was given up"))
