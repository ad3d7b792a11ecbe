"""Easy handles of libcurl: made with the options that requests of one kind have in common, and used by one request after the other."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import pycurl
from mypy_extensions import mypyc_attr

from flowgram_core.nodes.network.authorities import Authorities

_WITH_EMPTY_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say that their body is empty where they have none."""
_NEVER: Final = 24 * 60 * 60 * 1000
"""Milliseconds for connecting where only the caller's time-out counts; libcurl's own default is 300 s."""
# Options that pycurl 7.49 has no name for, by their numbers in curl.h.
_SUPPRESS_CONNECT_HEADERS: Final = 265
_CA_CACHE_TIMEOUT: Final = 321
_NO_LIMIT: Final = -1
_IDLE_HANDLES: Final = 64
"""Of all kinds; a handle takes some 10 KB."""
_NO_SECRETS: Final = frozenset({b"accept", b"accept-encoding", b"user-agent"})
"""Headers that a handle may keep when it is idle."""
_FRAMING: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"expect", b"te"}
)
_ADDED: Final = (b"accept", b"content-type", b"user-agent")
"""Headers that libcurl and pycurl would add."""

Headers = Sequence[tuple[bytes, bytes]]
Kind = tuple[str, str | None, float | None, str, bool, bool]
"""What requests of one handle have in common: origin, proxy, time-out for connecting, method, whether there is a body, whether the
connection is a new one."""


class Callbacks:
    """What libcurl calls while it makes a request. Nothing may be raised here."""

    __slots__ = ()

    def open_socket(self, address: Any) -> int:
        """A new socket for an address."""
        raise NotImplementedError

    def before_sending(self, remote: str, local: str, remote_port: int, local_port: int) -> int:
        """Whether a request may be sent over a connection."""
        raise NotImplementedError

    def take_header(self, line: bytes) -> int | None:
        """Takes a line of the response's head. Zero ends the request."""
        raise NotImplementedError

    def take_body(self, piece: bytes) -> int | None:
        """Takes a piece of the response's body."""
        raise NotImplementedError


class Handle:
    """An easy handle, which makes one request at a time.

    Attributes:
        easy: libcurl's handle.
        kind: Of its requests.
        sends_body: Whether they have a body, though it may be empty.
        callbacks: Of the request that it makes.
    """

    __slots__ = ("_headers", "_lines", "_target", "callbacks", "easy", "kind", "sends_body")

    def __init__(self, easy: Any, kind: Kind, *, sends_body: bool) -> None:
        self.easy = easy
        self.kind = kind
        self.sends_body = sends_body
        self.callbacks: Callbacks | None = None
        self._target = ""
        self._headers: Headers | None = None
        self._lines: list[bytes] = []
        # Set once: to set them anew for each request costs more than they do.
        easy.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        easy.setopt(pycurl.PREREQFUNCTION, self._before_sending)
        easy.setopt(pycurl.HEADERFUNCTION, self._take_header)
        easy.setopt(pycurl.WRITEFUNCTION, self._take_body)

    def prepare(self, target: str, headers: Headers, body: bytes | None) -> None:
        """Sets what differs from the handle's last request.

        Args:
            target: The path and query, as they are sent.
            headers: As for `HTTPTransport.send`.
            body: The same.
        """
        set_option = self.easy.setopt
        if target != self._target:
            set_option(pycurl.REQUEST_TARGET, target)
            self._target = target
        if self.sends_body:
            set_option(pycurl.POSTFIELDSIZE, 0 if body is None else len(body))
            set_option(pycurl.POSTFIELDS, b"" if body is None else body)
        if headers is self._headers and type(headers) is tuple:
            return
        lines = _header_lines(headers)
        if lines != self._lines:
            set_option(pycurl.HTTPHEADER, lines)
            self._lines = lines
        self._headers = headers

    def clear(self) -> None:
        """Drops what its last request has sent, and nobody else may see: what was in headers of certain names only, and the body."""
        self.callbacks = None
        set_option = self.easy.setopt
        if self.sends_body:
            set_option(pycurl.POSTFIELDS, b"")
        headers, self._headers = self._headers, None
        if headers is None:
            return
        for name, _ in headers:
            if name not in _NO_SECRETS:
                set_option(pycurl.HTTPHEADER, [])
                self._lines = []
                return
        self._headers = headers

    def close(self) -> None:
        """Frees it."""
        self.callbacks = None
        self.easy.close()

    def _open_socket(self, purpose: int, address: Any) -> int:  # noqa: ARG002 - there is one purpose only
        return int(pycurl.SOCKET_BAD) if self.callbacks is None else self.callbacks.open_socket(address)

    def _before_sending(self, remote: str, local: str, remote_port: int, local_port: int) -> int:
        if self.callbacks is None:
            return int(pycurl.PREREQFUNC_ABORT)
        return self.callbacks.before_sending(remote, local, remote_port, local_port)

    def _take_header(self, line: bytes) -> int | None:
        return None if self.callbacks is None else self.callbacks.take_header(line)

    def _take_body(self, piece: bytes) -> int | None:
        return None if self.callbacks is None else self.callbacks.take_body(piece)


@mypyc_attr(allow_interpreted_subclasses=True)
class Handles:
    """Makes handles, and keeps idle ones.

    Args:
        authorities: Whom TLS connections trust.
        keepalive: Seconds after which connections are not used again.
    """

    def __init__(self, authorities: Authorities, keepalive: float) -> None:
        self._authorities = authorities
        self._keepalive = max(1, math.ceil(keepalive))
        self._idle: OrderedDict[Kind, list[Handle]] = OrderedDict()
        self._idle_count = 0

    def take(self, kind: Kind) -> Handle:
        """A handle for a request of a kind."""
        idle = self._idle.get(kind)
        if idle is None:
            return self.make(kind)
        handle = idle.pop()
        self._idle_count -= 1
        if not idle:
            del self._idle[kind]
        return handle

    def give_back(self, handle: Handle) -> None:
        """Keeps a handle whose request went well for the next one of its kind."""
        handle.clear()
        kind = handle.kind
        idle = self._idle.get(kind)
        if idle is None:
            self._idle[kind] = [handle]
        else:
            idle.append(handle)
            self._idle.move_to_end(kind)
        self._idle_count += 1
        if self._idle_count > _IDLE_HANDLES:
            self.take(next(iter(self._idle))).close()

    def close(self) -> None:
        """Frees those that are idle."""
        while self._idle:
            self.take(next(iter(self._idle))).close()

    def make(self, kind: Kind) -> Handle:
        """A new handle for requests of a kind."""
        origin, proxy, connect_timeout, method, has_body, is_fresh = kind
        easy = pycurl.Curl()
        set_option: Callable[[int, Any], None] = easy.setopt
        # The path is sent as it is; libcurl would write parts of it anew.
        set_option(pycurl.URL, origin)
        set_option(pycurl.PROXY, proxy or "")
        set_option(pycurl.NOPROXY, "")
        if proxy is not None:
            set_option(_SUPPRESS_CONNECT_HEADERS, 1)
        set_option(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        set_option(pycurl.NOSIGNAL, 1)
        set_option(
            pycurl.CONNECTTIMEOUT_MS, _NEVER if connect_timeout is None else int(connect_timeout * 1000) or 1
        )
        set_option(pycurl.MAXAGE_CONN, self._keepalive)
        if origin.startswith("https:"):
            self._set_authorities(easy)
            # OpenSSL reads ahead, so that left-over bytes of a server may lie where nothing can see them; they would be
            # the next request's response. Sessions are resumed, which makes the next handshake a short one.
            set_option(pycurl.FORBID_REUSE, 1)
        set_option(pycurl.CUSTOMREQUEST, method)
        sends_body = method != "HEAD" and (has_body or method in _WITH_EMPTY_BODY)
        if method == "HEAD":
            set_option(pycurl.NOBODY, 1)
        elif sends_body:
            set_option(pycurl.POST, 1)
        if is_fresh:
            set_option(pycurl.FRESH_CONNECT, 1)
        return Handle(easy, kind, sends_body=sends_body)

    def _set_authorities(self, easy: Any) -> None:
        authorities = self._authorities
        if authorities.file is not None:
            easy.setopt(pycurl.CAINFO, authorities.file)
            easy.setopt(pycurl.PROXY_CAINFO, authorities.file)
            easy.setopt(_CA_CACHE_TIMEOUT, _NO_LIMIT)
        elif authorities.directory is not None:
            easy.setopt(pycurl.CAPATH, authorities.directory)
            easy.setopt(pycurl.PROXY_CAPATH, authorities.directory)
        elif authorities.is_native:
            easy.setopt(pycurl.SSL_OPTIONS, pycurl.SSLOPT_NATIVE_CA)


def _header_lines(headers: Headers) -> list[bytes]:
    """Headers as libcurl takes them: one without a value ends with a semicolon; one that it would add is left out."""
    lines: list[bytes] = [b"Expect:"]
    names: list[bytes] = []
    for name, value in headers:
        lower = name.lower()
        if lower not in _FRAMING:
            names.append(lower)
            lines.append(name + b": " + value if value else name + b";")
    for name in _ADDED:
        if name not in names:
            lines.append(name + b":")  # noqa: PERF401 - compiled, a generator takes longer
    return lines
