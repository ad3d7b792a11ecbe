"""Socket readiness by Linux's epoll; the standard library's module `selectors` takes four times as long around it. See `ready_sockets`."""

import select
from collections.abc import Iterable
from typing import Any, Final

READ: Final = 1
WRITE: Final = 2
"""libcurl's numbers, both for what is watched and for what is ready; also those of the module `selectors`."""

_select: Any = select
"""Elsewhere than on Linux the module has no epoll, which types would tell."""


class EpollSockets:
    """See `ReadySockets`."""

    __slots__ = ("_epoll", "_in", "_masks", "_out", "_watched")

    def __init__(self) -> None:
        self._epoll: Any = _select.epoll()
        self._in: int = _select.EPOLLIN
        self._out: int = _select.EPOLLOUT
        self._masks = [0, self._in, self._out, self._in | self._out]
        self._watched: dict[int, int] = {}

    def fileno(self) -> int:
        """See `ReadySockets`."""
        return int(self._epoll.fileno())

    def watch(self, descriptor: int, events: int) -> None:
        """See `ReadySockets`."""
        self._watched[descriptor] = events
        mask = self._masks[events]
        try:
            self._epoll.register(descriptor, mask)
        except FileExistsError:
            self._epoll.modify(descriptor, mask)

    def forget(self, descriptor: int) -> None:
        """See `ReadySockets`."""
        self._watched.pop(descriptor, None)
        try:  # noqa: SIM105 - two function calls less, for each request
            self._epoll.unregister(descriptor)
        except OSError:
            pass

    def ready(self) -> Iterable[tuple[int, int]]:
        """See `ReadySockets`."""
        found: list[tuple[int, int]] = []
        descriptor: int
        mask: int
        for descriptor, mask in self._epoll.poll(0):
            # An error, or the end, shows when the socket is read or written.
            events = (READ if mask & ~self._out else 0) | (WRITE if mask & ~self._in else 0)
            found.append((descriptor, self._watched.get(descriptor, 0) & events))
        return found

    def close(self) -> None:
        """See `ReadySockets`."""
        self._epoll.close()
