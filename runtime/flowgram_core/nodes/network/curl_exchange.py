"""One request and its response on a libcurl easy handle: what libcurl calls back, and what the caller reads."""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Any, Final

import pycurl

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.curl_errors import explain
from flowgram_core.nodes.network.curl_handles import Callbacks, Handle, Handles
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.targets import Target
from flowgram_core.nodes.network.transport import TransportError, TransportTimeout

_MAX_UNREAD: Final = 256 * 1024
"""Bytes of a body that wait for their reader; libcurl then reads no more from the connection until they are taken."""
_SWITCHING_PROTOCOLS: Final = 101
_OK: Final = 200
_H: Final = 0x48
_BLANK: Final = 0x20
_TAB: Final = 0x09
_CARRIAGE_RETURN: Final = 0x0D
_LINE_FEED: Final = 0x0A
_ABORT: Final = 0
"""What a callback of libcurl returns to end the transfer: it has taken no bytes."""

Endpoints = tuple[str, int, str, int]
"""Local address and port, remote address and port: what identifies a TCP connection."""


class Connections:
    """Which socket belongs to which open connection, so that an idle one can be looked at before it is used again."""

    def __init__(self) -> None:
        self._descriptors: dict[Endpoints, int] = {}
        self._endpoints: dict[int, Endpoints] = {}

    def forget(self, descriptor: int) -> None:
        """A descriptor was given out anew: what it belonged to is closed."""
        endpoints = self._endpoints.pop(descriptor, None)
        if endpoints is not None and self._descriptors.get(endpoints) == descriptor:
            del self._descriptors[endpoints]

    def add(self, endpoints: Endpoints, descriptor: int) -> None:
        """A connection stands."""
        self._descriptors[endpoints] = descriptor
        self._endpoints[descriptor] = endpoints

    def is_silent(self, endpoints: Endpoints) -> bool:
        """Whether nothing has come on an idle connection: no bytes that belong to no request, and no end of it."""
        descriptor = self._descriptors.get(endpoints)
        if descriptor is None:
            return False
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return not poll.poll(0)


class CurlExchange(Callbacks):
    """A request on its way. It is the response, too, as soon as its head has come.

    Args:
        handle: The handle, with all that the request says.
        target: Where the request goes.
        connections: Of all exchanges whose handles share a pool.
        egress: Says why an address is not connected to; None: every one is.
        read_timeout: Seconds for which the server may be silent while somebody waits for it.
        handles: Takes the handle back after an exchange that went well; None: it is closed.

    Attributes:
        easy: libcurl's handle, until the exchange ends.
        status_code: Of the response.
        headers: Of the response.
        is_added: The handle is one of those that its multi handle runs.
        is_stale: Nothing was sent, since the idle connection that was to be used is no longer usable.
    """

    __slots__ = (
        "_abandon",
        "_connections",
        "_egress",
        "_handle",
        "_handles",
        "_is_done",
        "_is_paused",
        "_opened",
        "_read_timeout",
        "_refused",
        "_sendings",
        "_size",
        "_target",
        "_timer",
        "_unread",
        "_waiter",
        "_waiting_since",
        "easy",
        "failure",
        "has_head",
        "headers",
        "is_added",
        "is_stale",
        "status_code",
    )

    def __init__(
        self,
        handle: Handle,
        target: Target,
        *,
        connections: Connections,
        egress: Egress | None,
        read_timeout: float | None,
        handles: Handles | None = None,
    ) -> None:
        self.easy: Any = handle.easy
        self._handle = handle
        self._handles = handles
        self.status_code = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.has_head = False
        self.is_added = False
        self.is_stale = False
        self.failure: Exception | None = None
        self._target = target
        self._connections = connections
        self._egress = egress
        self._refused: str | None = None
        self._read_timeout = read_timeout
        self._abandon: Callable[[CurlExchange], None] | None = None
        self._unread: list[bytes] = []
        self._size = 0
        self._is_paused = False
        self._is_done = False
        self._opened: list[int] = []
        self._sendings = 0
        self._waiter: asyncio.Future[None] | None = None
        self._waiting_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        handle.callbacks = self

    # What libcurl calls. Nothing may be raised here.

    def open_socket(self, address: Any) -> int:
        """See `Callbacks`. The address of each connection is looked at, however its host was resolved."""
        if self._egress is not None:
            target = self._target
            refused = self._egress.refusal_at(target.ascii_host, target.port, address.addr[0])
            if refused is not None:
                self._refused = refused
                return int(pycurl.SOCKET_BAD)
        try:
            opened = socket.socket(address.family, address.socktype, address.protocol)
        except OSError:
            return int(pycurl.SOCKET_BAD)
        descriptor = opened.detach()
        self._connections.forget(descriptor)
        self._opened.append(descriptor)
        return descriptor

    def before_sending(self, remote: str, local: str, remote_port: int, local_port: int) -> int:
        """See `Callbacks`."""
        self._sendings += 1
        if self._sendings > 1:
            # libcurl would send again what an idle connection lost as it was closed: the server may have seen it.
            return int(pycurl.PREREQFUNC_ABORT)
        endpoints = (local, local_port, remote, remote_port)
        if self._opened:
            self._connections.add(endpoints, self._descriptor(local_port))
        elif not self._connections.is_silent(endpoints):
            self.is_stale = True
            return int(pycurl.PREREQFUNC_ABORT)
        return int(pycurl.PREREQFUNC_OK)

    def _descriptor(self, local_port: int) -> int:
        """Of the sockets that were opened, the one that is connected; there are several where a host has several addresses."""
        if len(self._opened) > 1:
            for descriptor in self._opened:
                try:
                    opened = socket.socket(fileno=descriptor)
                except OSError:
                    continue  # closed
                try:
                    if opened.getsockname()[1] == local_port:
                        return descriptor
                finally:
                    opened.detach()
        return self._opened[-1]

    def take_header(self, line: bytes) -> int | None:
        """See `Callbacks`."""
        if self.has_head:
            return None  # a trailer
        first = line[0] if line else 0
        if first == _H and line.startswith(b"HTTP/"):
            self.headers = []
            code = line.split(None, 2)[1:2]
            self.status_code = int(code[0]) if code and code[0].isdigit() else 0
            if self.status_code == _SWITCHING_PROTOCOLS:
                return _ABORT
        elif first == _LINE_FEED or (first == _CARRIAGE_RETURN and line == b"\r\n"):
            if self.status_code >= _OK:
                self.has_head = True
                self._wake()
        elif first in (_BLANK, _TAB) and self.headers:
            # A header that goes on, as was once allowed.
            name, value = self.headers[-1]
            self.headers[-1] = (name, value + b" " + line.strip())
        else:
            name, _, value = line.partition(b":")
            self.headers.append((name.strip().lower(), value.strip()))
        return None

    def take_body(self, piece: bytes) -> int | None:
        """See `Callbacks`."""
        if self._size >= _MAX_UNREAD:
            self._is_paused = True
            return int(pycurl.WRITEFUNC_PAUSE)
        self._unread.append(piece)
        self._size += len(piece)
        self._wake()
        return None

    # What the loop calls.

    def use_once(self) -> None:
        """Neither the connection nor the handle is used again."""
        self.easy.setopt(pycurl.FORBID_REUSE, 1)
        self._handles = None

    def started(self, abandon: "Callable[[CurlExchange], None]") -> None:
        """The exchange runs; it can be abandoned."""
        self._abandon = abandon

    def finished(self, error: tuple[int, str] | None) -> None:
        """The exchange has ended, with a code and message of libcurl where it has failed."""
        if error is not None and self.failure is None:
            if self._refused is not None and not self._sendings:
                self.failure = NodeError(f'"{self._target.host_and_port}" {self._refused}')
            else:
                os_error = int(self.easy.getinfo(pycurl.OS_ERRNO))
                self.failure = explain(
                    *error, os_error, host_and_port=self._target.host_and_port, host=self._target.host
                )
        elif not self.has_head and self.failure is None:
            self.failure = TransportError(f'no complete HTTP response from "{self._target.host_and_port}"')
        elif error is None and self.failure is None and self._handles is not None:
            self._handles.give_back(self._handle)
            self.easy = None
        self._end()

    def fail(self, failure: Exception) -> None:
        """Ends the exchange with an error, unless it has ended."""
        if not self._is_done:
            self.failure = failure
            self._end()

    def _end(self) -> None:
        self._is_done = True
        self._abandon = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.easy is not None:
            # Its callbacks hold this object.
            self._handle.close()
            self.easy = None
        self._wake()

    # What the caller calls.

    @property
    def is_over(self) -> bool:
        """See `HTTPResponse`."""
        return self._is_done and not self._unread and self.failure is None

    def is_waiting_for_head(self) -> bool:
        """Whether the head of the response may still come: not when it has come, or the exchange is stale. Raises why it will not come."""
        if self.has_head or (self._is_done and self.is_stale):
            return False
        if self._is_done:
            assert self.failure is not None  # noqa: S101 - it has ended without a head, so it has failed
            raise self.failure
        return True

    async def read(self) -> bytes:
        """See `HTTPResponse`."""
        while not self._unread:
            if self._is_done:
                if self.failure is not None:
                    raise self.failure
                return b""
            await self.news()
        piece = self._unread[0] if len(self._unread) == 1 else b"".join(self._unread)
        self._unread = []
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            if not self._is_done:
                self.easy.pause(pycurl.PAUSE_CONT)
        return piece

    def close(self) -> None:
        """See `HTTPResponse`."""
        if self._abandon is not None:
            self._abandon(self)
        self._unread = []

    def news(self) -> "asyncio.Future[None]":
        """Is done when something has come, for the one who waits for it. Raises `TransportTimeout` where nothing comes in time."""
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        if self._read_timeout is not None:
            # One timer serves all waits of an exchange: a stream has as many of these as it has pieces.
            self._waiting_since = loop.time()
            if self._timer is None:
                self._timer = loop.call_later(self._read_timeout, self._check_silence, loop)
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _check_silence(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        assert self._read_timeout is not None  # noqa: S101 - without it there is no timer
        left = self._waiting_since + self._read_timeout - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._check_silence, loop)
        else:
            waiter, self._waiter = self._waiter, None
            waiter.set_exception(TransportTimeout(f'"{self._target.host_and_port}" was silent for too long'))
