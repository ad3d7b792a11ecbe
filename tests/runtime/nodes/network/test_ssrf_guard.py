"""The public network: which addresses belong to it, and how hosts that have several are reached."""

import asyncio
import ipaddress
import ssl
from collections.abc import Sequence

import httpcore2
import httpx2
import pytest
from support.http_node import failure
from support.raw_http import RawServer, Received, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.pooled_transport import PooledTransport
from flowgram_core.nodes.network.ssrf_guard import Address, SSRFGuard, is_public
from flowgram_core.nodes.node_settings import HTTPSettings


def anything(address: Address) -> bool:
    """Accepts loopback too, where the servers of the tests are."""
    return True


class Names:
    """A name service that knows what the test says, and counts its questions."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._addresses


def client_of(network: SSRFGuard, max_connections: int | None = None) -> httpx2.AsyncClient:
    transport = PooledTransport(
        verify=ssl.create_default_context(),
        max_connections=max_connections,
        max_keepalive=5,
        keepalive=60,
        network=network,
    )
    return httpx2.AsyncClient(transport=transport, timeout=None)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"),  # noqa: S104 - none is bound to
        *("::", "::1", "fe80::1", "fc00::1", "fec0::2", "ff02::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("::127.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::"),
        *("64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1"),
    ],
)  # fmt: skip
def test_addresses_of_other_networks_are_not_public(address: str) -> None:
    """Loopback, private, link-local, site-local, reserved and documentation ranges, in whatever clothes."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Those of IPv4 also through its translations."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".com", "a." * 140 + "com", ".", "א1.invalid"])
async def test_odd_names_are_unknown_hosts(host: str) -> None:
    """Where a workflow has them, and where another server redirects there."""
    settings = HTTPSettings(deny_private=True)
    assert (await failure(f"http://{host}/", settings)).startswith("HTTP request failed: unknown host")


async def test_a_name_without_a_form_is_no_connection() -> None:
    """Whatever a name service makes of it."""

    async def none(host: str, port: int) -> Sequence[str]:
        raise UnicodeError("label too long")

    with pytest.raises(httpcore2.ConnectError):
        await SSRFGuard(resolve=none).connect_tcp("a..b", 80)


async def test_one_address_that_is_not_public_suffices() -> None:
    """A host that has it is refused, whatever else it has; so is one that has none."""
    for addresses in (("8.8.8.8", "127.0.0.1"), ("fe80::1%eth0",), ()):
        with pytest.raises(NodeError) as caught:
            await SSRFGuard(resolve=Names(*addresses)).connect_tcp("mixed.example", 80)
        assert str(caught.value) == '"mixed.example" is not on the public network, which the settings forbid'


@pytest.mark.parametrize("addresses", [("127.0.0.1", "127.0.0.2"), ("127.0.0.2", "127.0.0.1")])
async def test_the_addresses_of_a_host_are_tried_in_turn(addresses: Sequence[str]) -> None:
    """The first that answers is taken; where none does, it is a connection that failed."""
    names = Names(*addresses)
    network = SSRFGuard(resolve=names, accepts=anything)
    async with RawServer(response(b"here")) as server, client_of(network) as client:
        assert (await client.get(f"http://dual.example:{server.port}/")).text == "here"
        (received,) = server.received
    assert received.headers["host"] == f"dual.example:{server.port}"
    async with client_of(network) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://dual.example:{server.port}/")
    assert names.asked == ["dual.example"] * 2


async def test_finding_the_addresses_is_part_of_connecting() -> None:
    """Its time-out ends a name service that does not answer."""

    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(httpcore2.ConnectTimeout):
        await SSRFGuard(resolve=silent).connect_tcp("silent.example", 80, timeout=0.01)


async def test_connections_are_kept_and_bounded() -> None:
    """As without the guard; a connection that was checked may be used again."""
    at_once = most = 0

    async def respond(received: Received) -> bytes:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        for _ in range(20):
            await asyncio.sleep(0)
        at_once -= 1
        return response(b"ok")

    network = SSRFGuard(resolve=Names("127.0.0.1"), accepts=anything)
    async with RawServer(respond) as server, client_of(network, max_connections=2) as client:
        answers = await asyncio.gather(*(client.get(f"http://some.example:{server.port}") for _ in range(10)))
    assert {answer.text for answer in answers} == {"ok"}
    assert most == 2
