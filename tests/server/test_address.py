"""Addresses: their form, and what listens there."""

import socket

import pytest

from flowgram_server.address import address_of, bind, from_within, host_and_port


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:0", ("127.0.0.1", 0)), ("[::1]:65535", ("::1", 65_535)), ("a.b:1", ("a.b", 1))],
)
def test_an_address_has_a_host_and_a_port(address: str, parts: tuple[str, int]) -> None:
    """The brackets of version 6 are no part of the host."""
    assert host_and_port(address) == parts


@pytest.mark.parametrize("address", ["", "nowhere", ":1", "a:", "a:x", "a:-1", "a:65536"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """With what was expected."""
    with pytest.raises(ValueError, match="should be HOST:PORT"):
        host_and_port(address)


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "[::1]:50051"),
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("localhost:1", "localhost:1"),
    ],
)
def test_a_server_is_reached_from_within(address: str, reached: str) -> None:
    """One that listens on all addresses is reached by the loopback one."""
    assert from_within(address) == reached


def test_addresses_have_their_real_port() -> None:
    """For version 6, too, where the machine has it."""
    with bind("127.0.0.1:0") as listener:
        assert address_of(listener) == f"127.0.0.1:{listener.getsockname()[1]}"
    if socket.has_ipv6:
        with bind("[::1]:0") as listener:
            assert address_of(listener) == f"[::1]:{listener.getsockname()[1]}"
