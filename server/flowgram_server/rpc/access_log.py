"""The access log: one line per call, with its method, status, duration, peer and task; no content."""

from typing import Any, Final
from urllib.parse import unquote

import structlog
from grpc import StatusCode

from flowgram_server.logs import JSONLines
from flowgram_server.rpc.observed_calls import Call, CallListener, Method, note

__all__ = ["AccessLog", "note"]

_OWN_FAULTS: Final = {StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.DATA_LOSS}


class AccessLog:
    """Logs every call when it has ended; see `ObservedServer`.

    Args:
        logger: Gets the lines: `error` for calls that failed by the server's own fault, `info` for all others.
        only_faults: Whether nothing is to be done for those others, since the logger would drop their lines.
        lines: Gets their lines in place of the logger, with less work; None: the logger gets all.
    """

    counts_messages = False

    def __init__(
        self,
        logger: structlog.typing.FilteringBoundLogger,
        *,
        only_faults: bool = False,
        lines: JSONLines | None = None,
    ) -> None:
        self._log = logger
        self._only_faults = only_faults
        self._json_lines = lines

    def listener(self, method: Method) -> CallListener:
        """What logs the calls of a method."""
        return (_Faults if self._only_faults else _Lines)(method.path, self._log, self._json_lines)


class _Lines:
    """The lines of one method."""

    def __init__(
        self, method: str, logger: structlog.typing.FilteringBoundLogger, lines: JSONLines | None
    ) -> None:
        self._method = method
        self._log = logger
        self._lines = lines

    def begun(self, call: Call) -> str | None:
        """The peer, which a call has no more once it has ended."""
        return call.context.peer()

    def ended(self, call: Call, peer: str | None) -> None:
        """Logs the call."""
        code = call.code
        is_answered = code is StatusCode.OK  # the other codes are looked up, and named, in Python
        fields: dict[str, Any] = {
            "method": self._method,
            "code": "OK" if is_answered else code.name,
            "ms": round(call.seconds * 1000, 3),
            "peer": shown_peer(peer or call.context.peer()),
            **call.notes,
        }
        if not is_answered and code in _OWN_FAULTS:
            self._log.error("call", **fields)
        elif self._lines is not None:
            self._lines.add("info", "call", fields)
        else:
            self._log.info("call", **fields)

    def received(self) -> None:
        """Not of interest."""

    def sent(self) -> None:
        """Not of interest."""


class _Faults(_Lines):
    """The lines of the calls that failed by the server's own fault: their clients still wait for the answer."""

    def begun(self, _: Call) -> None:
        """Nothing yet: nearly all calls get no line."""

    def ended(self, call: Call, peer: str | None) -> None:
        """Logs the call if it is such a one."""
        if call.code is not StatusCode.OK and call.code in _OWN_FAULTS:
            super().ended(call, peer)


def shown_peer(peer: str) -> str:
    """Where a call comes from: `127.0.0.1:4711` where gRPC says `ipv4:127.0.0.1:4711`."""
    return unquote(peer.partition(":")[2]) if peer.startswith(("ipv4:", "ipv6:")) else peer
