"""Connections: the options that every channel of this package has, and the metadata of its calls."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .errors import InvalidValueError

MAX_RECEIVE_BYTES = 256 * 1024 * 1024
"""Reports of large tasks are far beyond gRPC's own limit of 4 MB, which is the client's too."""

Options = Sequence[tuple[str, Any]]
Token = str | Callable[[], str]
Metadata = tuple[tuple[str, str | bytes], ...]

_KEY = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(rb"[ -~]*")


def channel_options(target: str, extra: Options = ()) -> list[tuple[str, Any]]:
    """The options for a channel to `target`; those in `extra` win."""
    options: dict[str, Any] = {
        "grpc.max_receive_message_length": MAX_RECEIVE_BYTES,
        "grpc.max_send_message_length": -1,
        # a connection that died without a word is found out while a call waits on it
        "grpc.keepalive_time_ms": 30_000,
        "grpc.keepalive_timeout_ms": 10_000,
        "grpc.http2.max_pings_without_data": 0,
        # a server that was restarted is found again soon; gRPC's own backoff grows to two minutes
        "grpc.initial_reconnect_backoff_ms": 100,
        "grpc.min_reconnect_backoff_ms": 1_000,
        "grpc.max_reconnect_backoff_ms": 3_000,
    }
    if _is_loopback(target):
        # HTTP_PROXY leads out of this machine, never back to it
        options["grpc.enable_http_proxy"] = 0
    options.update(extra)
    return list(options.items())


def call_metadata(pairs: Iterable[tuple[Any, Any]]) -> Metadata:
    """Metadata as calls may carry it.

    Raises:
        InvalidValueError: a key or a value is one that HTTP/2 cannot carry, or a key that ends in `-bin` has no bytes.
    """
    metadata = tuple((key, value) for key, value in pairs)
    for key, value in metadata:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise InvalidValueError(
                f"metadata: the key {key!r} is not of lower-case letters, digits, and _ . -"
            )
        if key.endswith("-bin"):
            valid = isinstance(value, bytes)
        else:
            data = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            valid = isinstance(data, bytes) and _VALUE.fullmatch(data) is not None
        if not valid:
            needed = "bytes" if key.endswith("-bin") else "printable ASCII"
            raise InvalidValueError(f"metadata: the value of {key!r} must be {needed}")
    return metadata


class Credentials:
    """The metadata of calls, with the token of the moment.

    Args:
        pairs: sent with every call.
        token: sent as `authorization: Bearer …`; a function is asked at every call, and when a watch connects again.

    Raises:
        InvalidValueError: as from `call_metadata`, or both say who calls.
    """

    def __init__(self, pairs: Iterable[tuple[Any, Any]], token: Token | None) -> None:
        self._pairs = call_metadata(pairs)
        if token is not None and any(key == "authorization" for key, _ in self._pairs):
            raise InvalidValueError("token: metadata has an authorization, too")
        self._give = token if callable(token) else None
        self._fixed = self._pairs if token is None or callable(token) else self._with(token)

    def metadata(self) -> Metadata:
        """The metadata of a call that begins now. Raises `InvalidValueError`, and what the function of the token raises."""
        return self._fixed if self._give is None else self._with(self._give())

    def _with(self, token: Any) -> Metadata:
        if not isinstance(token, str) or not token.strip():
            raise InvalidValueError("token: must be a text that is not empty")
        return (*self._pairs, *call_metadata((("authorization", f"Bearer {token.strip()}"),)))


def _is_loopback(target: str) -> bool:
    host = target.rpartition(":")[0].rpartition("/")[2]
    return host in {"localhost", "[::1]"} or host.startswith("127.")
