"""libcurl's multi interface on an asyncio event loop, in steps that leave time for everything else on it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pycurl

from flowgram_core.nodes.network.curl_exchange import Connections, CurlExchange
from flowgram_core.nodes.network.ready_sockets import make_ready_sockets
from flowgram_core.nodes.network.transport import TransportError

_STEP: Final = 0.004
"""Seconds of work on sockets after which everything else on the event loop has its turn."""
_POOL_SIZE: Final = 250
"""Exchanges of one multi handle: libcurl looks through all connections of its pool for each request."""


class _Pool:
    """A multi handle: its exchanges, how many of these it runs, and when it wants to be called."""

    def __init__(self, *, keeps_connections: bool) -> None:
        self.multi = pycurl.CurlMulti()
        self.exchanges: dict[Any, CurlExchange] = {}
        self.added = 0
        self.max_connections = 0
        self.keeps_connections = keeps_connections
        self.is_due = False
        self.deadline: float | None = None
        self.timer: asyncio.TimerHandle | None = None


class CurlLoop:
    """Runs exchanges. Sockets are watched by an object of its own, which the event loop watches as one file.

    So a step takes as many sockets as there is time for, however many are ready at once.

    Args:
        max_keepalive: Idle connections that are kept.
    """

    def __init__(self, max_keepalive: int) -> None:
        self.connections = Connections()
        self._loop = asyncio.get_running_loop()
        self._max_keepalive = max_keepalive
        self._sockets = make_ready_sockets()
        self._pool_of: dict[int, _Pool] = {}  # by socket, of those that are watched
        self._loop.add_reader(self._sockets.fileno(), self._step)
        # Only the first pool, which is always the first choice, keeps connections that nobody uses.
        self._pools = [self._make_pool(keeps_connections=max_keepalive > 0)]
        self._waiting: deque[tuple[CurlExchange, _Pool]] = deque()
        self._due: deque[_Pool] = deque()
        self._ready: deque[tuple[int, int]] = deque()
        self._is_scheduled = False
        self._is_working = False
        self._is_closed = False

    def start(self, exchange: CurlExchange) -> None:
        """Lets an exchange begin as soon as there is time for it."""
        if self._is_closed:
            raise TransportError("the server stops")
        pool = self._choose_pool()
        if not pool.keeps_connections:
            exchange.use_once()
        pool.exchanges[exchange.easy] = exchange
        exchange.started(self._abandon)
        self._waiting.append((exchange, pool))
        self._schedule()

    def close(self) -> None:
        """Ends all exchanges, and closes all connections."""
        if self._is_closed:
            return
        self._is_closed = True
        self._loop.remove_reader(self._sockets.fileno())
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
        self._sockets.close()

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
        sockets, pool_of = self._sockets, self._pool_of

        def watch(what: int, descriptor: int, multi: object, data: object) -> None:  # noqa: ARG001
            if what != pycurl.POLL_REMOVE:
                pool_of[descriptor] = pool
                sockets.watch(descriptor, what)
            elif pool_of.pop(descriptor, None) is not None:
                sockets.forget(descriptor)

        return watch

    def _timer_callback(self, pool: _Pool) -> Callable[[int], None]:
        def set_timer(milliseconds: int) -> None:
            if milliseconds == 0:
                pool.deadline = None
                self._make_due(pool)
            elif milliseconds < 0:
                pool.deadline = None
            else:
                self._set_deadline(pool, self._loop.time() + milliseconds / 1000)

        return set_timer

    def _set_deadline(self, pool: _Pool, deadline: float) -> None:
        """Libcurl changes its mind several times per request: a timer that comes too early is left as it is."""
        pool.deadline = deadline
        if pool.timer is not None:
            if pool.timer.when() <= deadline:
                return
            pool.timer.cancel()
        pool.timer = self._loop.call_at(deadline, self._time_is_up, pool)

    def _time_is_up(self, pool: _Pool) -> None:
        pool.timer = None
        if pool.deadline is None or self._is_closed:
            return
        if pool.deadline > self._loop.time():
            self._set_deadline(pool, pool.deadline)
        else:
            pool.deadline = None
            self._make_due(pool)

    def _make_due(self, pool: _Pool) -> None:
        if not pool.is_due and not self._is_closed:
            pool.is_due = True
            self._due.append(pool)
            self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and not self._is_working:
            self._is_scheduled = True
            self._loop.call_soon(self._scheduled_step)

    def _scheduled_step(self) -> None:
        self._is_scheduled = False
        self._step()

    def _step(self) -> None:
        """Works until nothing is left to do, or the time of a step is over; then the next one is scheduled.

        Sockets that get ready meanwhile are left to the next step, for which the event loop will find them.
        """
        if self._is_closed:
            return
        end = time.perf_counter() + _STEP
        if not self._ready:
            self._ready.extend(self._sockets.ready())
        self._is_working = True
        try:
            while self._work() and time.perf_counter() < end:
                pass
        finally:
            self._is_working = False
        if self._due or self._waiting or self._ready:
            self._schedule()

    def _work(self) -> bool:
        """Does one thing. False where there is none to do."""
        if self._due:
            pool = self._due.popleft()
            pool.is_due = False
            _, running = pool.multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        elif self._waiting:
            exchange, pool = self._waiting.popleft()
            if exchange.easy in pool.exchanges:  # it was not abandoned
                pool.multi.add_handle(exchange.easy)
                exchange.is_added = True
                pool.added += 1
            return True
        elif self._ready:
            descriptor, events = self._ready.popleft()
            known = self._pool_of.get(descriptor)
            if known is None:
                return True
            pool = known
            _, running = pool.multi.socket_action(descriptor, events)
        else:
            return False
        if running < pool.added:
            self._finish(pool)
        return True

    def _finish(self, pool: _Pool) -> None:
        _, succeeded, failed = pool.multi.info_read()
        for easy in succeeded:
            self._remove(pool, easy).finished(None)
        for easy, code, message in failed:
            self._remove(pool, easy).finished((code, message))

    def _remove(self, pool: _Pool, easy: Any) -> CurlExchange:
        exchange = pool.exchanges.pop(easy)
        # What libcurl bounds are all connections of a pool, those in use included.
        most = len(pool.exchanges) + max(self._max_keepalive, 1)
        if most != pool.max_connections:
            pool.max_connections = most
            pool.multi.setopt(pycurl.M_MAXCONNECTS, most)
        if exchange.is_added:
            exchange.is_added = False
            pool.added -= 1
            pool.multi.remove_handle(easy)
        return exchange

    def _abandon(self, exchange: CurlExchange) -> None:
        for pool in self._pools:
            if exchange.easy in pool.exchanges:
                self._remove(pool, exchange.easy)
                exchange.fail(TransportError("the request was given up"))
