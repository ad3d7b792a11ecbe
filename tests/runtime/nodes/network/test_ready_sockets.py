"""Which sockets are ready: both ways to find out agree."""

import select
import socket

import pytest

from flowgram_core.nodes.network.epoll_sockets import READ, WRITE
from flowgram_core.nodes.network.ready_sockets import (
    ReadySockets,
    SelectorSockets,
    make_ready_sockets,
)


@pytest.fixture(params=[make_ready_sockets, SelectorSockets])
def sockets(request: pytest.FixtureRequest) -> ReadySockets:
    made: ReadySockets = request.param()
    return made


def test_sockets_are_watched_for_what_was_said_last(sockets: ReadySockets) -> None:
    """Each is named with what it is ready for, until it is forgotten."""
    one, other = socket.socketpair()
    with one, other:
        sockets.watch(one.fileno(), READ)
        assert list(sockets.ready()) == []
        other.send(b"x")
        assert list(sockets.ready()) == [(one.fileno(), READ)]
        assert select.select([sockets.fileno()], [], [], 0)[0] == [sockets.fileno()]
        sockets.watch(one.fileno(), WRITE)
        assert list(sockets.ready()) == [(one.fileno(), WRITE)]
        sockets.watch(one.fileno(), READ | WRITE)
        assert list(sockets.ready()) == [(one.fileno(), READ | WRITE)]
        sockets.forget(one.fileno())
        assert list(sockets.ready()) == []
    sockets.close()


def test_an_end_is_for_who_reads(sockets: ReadySockets) -> None:
    """The other side has closed."""
    one, other = socket.socketpair()
    with one:
        sockets.watch(one.fileno(), READ)
        other.close()
        ((descriptor, events),) = sockets.ready()
        assert (descriptor, events & READ) == (one.fileno(), READ)
    sockets.close()


def test_a_closed_socket_is_forgotten_once(sockets: ReadySockets) -> None:
    """Its number may belong to another one by then."""
    one, other = socket.socketpair()
    number = one.fileno()
    sockets.watch(number, READ)
    one.close()
    sockets.forget(number)
    sockets.forget(number)
    again = other.dup()
    with other, again:
        sockets.watch(again.fileno(), WRITE)
        assert list(sockets.ready()) == [(again.fileno(), WRITE)]
        sockets.forget(again.fileno())
    sockets.close()
