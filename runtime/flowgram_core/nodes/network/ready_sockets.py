"""Socket readiness for libcurl: one object polls all of its sockets, and the event loop watches that object as one file."""

import selectors
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

from flowgram_core.nodes.network.epoll_sockets import EpollSockets


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
