"""HTTP connections with limits: their number, and time-outs for peers that send or read too slowly."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

from flowgram_server.settings.gateway import ConnectionLimits

_log = structlog.get_logger(__name__)

CLIENT_CERTIFICATE: Final = "client_certificate"
"""Where `scope["state"]` has the certificate of the client, in DER, which TLS has checked; not there without one."""

_LOG_INTERVAL: Final = 10.0
"""Seconds between two lines that say that there are too many connections."""

_ANSWERED: Final = (h11.DONE, h11.MUST_CLOSE, h11.CLOSED)


class ConnectionCount:
    """How many connections a listener has."""

    def __init__(self, limits: ConnectionLimits, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.open = 0
        self._limit = limits.max_connections
        self._monotonic = monotonic
        self._silent_until = float("-inf")

    def admit(self, peer: object) -> bool:
        """Whether one more may be open; it is counted then. Where none may, a line is logged now and then."""
        if self.open < self._limit:
            self.open += 1
            return True
        now = self._monotonic()
        if now >= self._silent_until:
            self._silent_until = now + _LOG_INTERVAL
            _log.warning("too many HTTP connections: closed", limit=self._limit, peer=peer)
        return False


class BoundedConnection(H11Protocol):
    """One HTTP connection, closed where its peer sends or reads too slowly."""

    def __init__(self, *args: Any, limits: ConnectionLimits, count: ConnectionCount, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._count = count
        self._admitted = False
        self._read_deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        """Begins to read, unless there are too many connections."""
        super().connection_made(transport)
        encryption = transport.get_extra_info("ssl_object")
        certificate = encryption and encryption.getpeercert(binary_form=True)
        if certificate:
            self.app_state = {**self.app_state, CLIENT_CERTIFICATE: certificate}
        self._admitted = self._count.admit(self.client)
        if self._admitted:
            self._await_input("the head of a request")
        else:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        self._stop_awaiting_input()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
        if self._admitted:
            self._admitted = False
            self._count.open -= 1

    def data_received(self, data: bytes) -> None:
        """Reads what has come."""
        super().data_received(data)
        self._check_input()

    def on_response_complete(self) -> None:
        """Goes on with the next request."""
        super().on_response_complete()
        self._check_input()

    def pause_writing(self) -> None:
        """The peer does not read as fast as it is answered."""
        super().pause_writing()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(
                self._limits.write_timeout, self._close, "an answer is not read"
            )

    def resume_writing(self) -> None:
        """The peer has read something."""
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def _check_input(self) -> None:
        state = self.conn.their_state
        if state is h11.IDLE and self.conn.trailing_data[0]:
            self._await_input("the head of a request")
        elif state is h11.SEND_BODY and self.conn.our_state in _ANSWERED:
            self._await_input("the rest of a request that was answered")
        else:  # between two requests the keep-alive timer counts, and within a body its reader
            self._stop_awaiting_input()

    def _await_input(self, what: str) -> None:
        if self._read_deadline is None and not self.transport.is_closing():
            self._read_deadline = self.loop.call_later(
                self._limits.header_timeout, self._close, f"{what} does not come"
            )

    def _stop_awaiting_input(self) -> None:
        if self._read_deadline is not None:
            self._read_deadline.cancel()
            self._read_deadline = None

    def _close(self, reason: str) -> None:
        _log.info("HTTP connection closed", reason=reason, peer=self.client)
        self.transport.abort()


def bounded_connections(limits: ConnectionLimits) -> Callable[..., H11Protocol]:
    """What makes the connections of one listener."""
    count = ConnectionCount(limits)

    def connection(*args: Any, **kwargs: Any) -> H11Protocol:
        return BoundedConnection(*args, limits=limits, count=count, **kwargs)

    return connection
