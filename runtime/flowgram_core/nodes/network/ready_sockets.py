"""Socket readiness for libcurl: one object polls all of its sockets, and the event loop watches that object as one file."""

import select
import selectors
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

READ = 1
WRITE = 2
"""libcurl's numbers, both for what is watched and for what is ready; also those of the module `selectors`."""


class ReadySockets(Protocol):
    """Watches sockets."""

    def fileno(self) -> int:
        """A file that can be read when sockets are ready."""
        ...

    def watch(self, descriptor: int, events: int) -> None:
        """Watches a socket from now on for these events only, whether or not it was watched before."""
        ...

    def forget(self, descriptor: int) -> None:
        """Watches a socket no more; it may be closed already."""
        ...

    def ready(self) -> Iterable[tuple[int, int]]:
        """The sockets that are ready now, with what they are ready for. Those beyond some number come the next time."""
        ...

    def close(self) -> None:
        """Watches nothing more."""
        ...


def make_ready_sockets() -> ReadySockets:
    """What is fastest on this system."""
    return EpollSockets() if sys.platform == "linux" else SelectorSockets()


if sys.platform == "linux":

    class EpollSockets:
        """Linux's own interface; the module `selectors` takes four times as long around it."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            self._masks = (0, select.EPOLLIN, select.EPOLLOUT, select.EPOLLIN | select.EPOLLOUT)
            self._watched: dict[int, int] = {}

        def fileno(self) -> int:
            """See `ReadySockets`."""
            return self._epoll.fileno()

        def watch(self, descriptor: int, events: int) -> None:
            """See `ReadySockets`."""
            self._watched[descriptor] = events
            try:
                self._epoll.register(descriptor, self._masks[events])
            except FileExistsError:
                self._epoll.modify(descriptor, self._masks[events])

        def forget(self, descriptor: int) -> None:
            """See `ReadySockets`."""
            self._watched.pop(descriptor, None)
            with suppress(OSError):
                self._epoll.unregister(descriptor)

        def ready(self) -> Iterable[tuple[int, int]]:
            """See `ReadySockets`."""
            # An error, or the end, shows when the socket is read or written.
            return [
                (
                    descriptor,
                    self._watched.get(descriptor, 0)
                    & ((READ if mask & ~select.EPOLLOUT else 0) | (WRITE if mask & ~select.EPOLLIN else 0)),
                )
                for descriptor, mask in self._epoll.poll(0)
            ]

        def close(self) -> None:
            """See `ReadySockets`."""
            self._epoll.close()


class SelectorSockets:
    """The same by the standard library, for every system."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def fileno(self) -> int:
        """See `ReadySockets`."""
        return int(self._selector.fileno())

    def watch(self, descriptor: int, events: int) -> None:
        """See `ReadySockets`."""
        self.forget(descriptor)
        self._selector.register(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """See `ReadySockets`."""
        with suppress(KeyError, OSError):
            self._selector.unregister(descriptor)

    def ready(self) -> Iterable[tuple[int, int]]:
        """See `ReadySockets`."""
        return [(key.fd, events) for key, events in self._selector.select(0)]

    def close(self) -> None:
        """See `ReadySockets`."""
        self._selector.close()
