"""The access log: one line per call, with its method, status, duration, peer and task; no content."""

from typing import Final
from urllib.parse import unquote

import structlog
from grpc import StatusCode

from flowgram_server.rpc.observed_calls import Call, CallListener, Method, note

__all__ = ["AccessLog", "note"]

_OWN_FAULTS: Final = {StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.DATA_LOSS}


class AccessLog:
    """Logs every call when it has ended; see `ObservedServer`.

    Args:
        logger: Gets the lines: `error` for calls that failed by the server's own fault, `info` for all others.
    """

    counts_messages = False

    def __init__(self, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._log = logger

    def listener(self, method: Method) -> CallListener:
        """What logs the calls of a method."""
        return _Lines(method.path, self._log)


class _Lines:
    """The lines of one method."""

    def __init__(self, method: str, logger: structlog.typing.FilteringBoundLogger) -> None:
        self._method = method
        self._log = logger

    def begun(self, call: Call) -> str:
        """The peer, which a call has no more once it has ended."""
        return shown_peer(call.context.peer())

    def ended(self, call: Call, peer: str) -> None:
        """Logs the call."""
        log = self._log.error if call.code in _OWN_FAULTS else self._log.info
        ms = round(call.seconds * 1000, 3)
        log("call", method=self._method, code=call.code.name, ms=ms, peer=peer, **call.notes)

    def received(self) -> None:
        """Not of interest."""

    def sent(self) -> None:
        """Not of interest."""


def shown_peer(peer: str) -> str:
    """Where a call comes from: `127.0.0.1:4711` where gRPC says `ipv4:127.0.0.1:4711`."""
    return unquote(peer.partition(":")[2]) if peer.startswith(("ipv4:", "ipv6:")) else peer
