"""The SSRF guard: which addresses are public, and that no other one is connected to."""

import ipaddress

import pycurl
import pytest
from support import http_node, llm_node
from support.http_node import failure
from support.raw_http import RawServer, response

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.authorities import Authorities
from flowgram_core.nodes.network.curl_handles import Handle, Handles, Kind
from flowgram_core.nodes.network.curl_transport import CurlTransport
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.egress_rules import EgressRule
from flowgram_core.nodes.network.ssrf_guard import is_link_local, is_public
from flowgram_core.nodes.node_settings import HTTPSettings, LLMSettings


@pytest.mark.parametrize(
    "address",
    [
        *("192.0.0.8", "192.0.0.192", "192.0.0.255", "192.88.99.1", "168.63.129.16", "100.100.100.200"),
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "172.31.255.255", "240.0.0.1"),
        *("127.0.0.1", "10.0.0.1", "100.64.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "255.255.255.255"),  # noqa: S104 - none is bound to
        *("::", "::1", "fe80::1", "fc00::1", "fec0::2", "ff02::1", "100::1", "2001:db8::1", "3fff::1", "5f00::1"),
        *("::127.0.0.1", "::8.8.8.8", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1", "2002:7f00:1::", "2001:0:7f00:1::"),
        *("2001:2::1", "2001:10::1", "2001:1ff::1", "fd00:ec2::254", "64:ff9b::a9fe:a9fe", "::ffff:168.63.129.16"),
        *("64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1"),
    ],
)  # fmt: skip
def test_addresses_of_other_networks_are_not_public(address: str) -> None:
    """Loopback, private, link-local, site-local, reserved and documentation ranges, in whatever clothes."""
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "192.0.1.1",
        "192.88.98.255",
        "168.63.129.15",
        "172.32.0.1",
        "11.0.0.1",
        "100.128.0.1",
        "2001:200::1",
        "8.8.8.8",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
        # Special-purpose, and globally reachable by IANA's registries: AS112 and AMT.
        *("192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1"),
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    """Those of IPv4 also through its translations."""
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.0.1", "fe80::1", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
        *(
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
        ),
    ],
)
def test_metadata_of_clouds_is_link_local(address: str) -> None:
    """At whatever address a cloud has it, in whatever clothes."""
    assert is_link_local(ipaddress.ip_address(address))


def test_other_private_addresses_are_not_link_local() -> None:
    """They are private only."""
    for address in ("10.0.0.1", "127.0.0.1", "192.168.1.1", "fd00::1", "::1", "8.8.8.8"):
        assert not is_link_local(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".com", "a." * 140 + "com", ".", "א1.invalid"])
async def test_odd_names_are_unknown_hosts(host: str) -> None:
    """Where a workflow has them, and where another server redirects there."""
    settings = HTTPSettings(deny_private=True)
    assert (await failure(f"http://{host}/", settings)).startswith("HTTP request failed: unknown host")


async def test_what_redirects_to_a_private_address_is_refused() -> None:
    """Each connection is looked at, not the address that a workflow names."""
    transport = CurlTransport(
        authorities=Authorities(),
        max_keepalive=5,
        keepalive=60,
        egress=Egress(deny=[EgressRule.parse("127.0.0.2")]),
    )
    async with RawServer() as there:
        away = response(status="302 Found", Location=f"http://127.0.0.2:{there.port}/")
        async with RawServer(away) as server, http_node.HTTPNode(transport=transport) as node:
            with pytest.raises(http_node.NodeError) as caught:
                await http_node.execute(node, server.url, retryTimes=3)
            assert len(server.received) == 1
        assert there.received == []
    assert str(caught.value) == f'"127.0.0.2:{there.port}" is denied by the egress rule "127.0.0.2"'


async def test_a_host_is_reached_at_those_of_its_addresses_that_are_public() -> None:
    """The name of this machine has one of each family; of the one that is refused nothing is tried."""
    egress = Egress(deny=[EgressRule.parse("::/0")])
    transport = CurlTransport(authorities=Authorities(), max_keepalive=5, keepalive=60, egress=egress)
    async with RawServer(response(b"here")) as server, http_node.HTTPNode(transport=transport) as node:
        outputs = await http_node.execute(node, f"http://localhost:{server.port}/")
    assert outputs["body"] == "here"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "127.1"])
async def test_llm_nodes_are_guarded_alike(host: str) -> None:
    """However the address is written."""
    message = await llm_node.failure(f"http://{host}:9/v1", LLMSettings(deny_private=True))
    assert 'is denied by the egress rule "private"' in message


async def test_proxies_are_not_used_where_addresses_are_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would connect to any address."""
    async with RawServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        settings = HTTPSettings(deny_private=True, trust_env=True)
        message = await http_node.failure(f"http://127.0.0.1:{proxy.port}/", settings)
        assert proxy.received == []
    assert 'is denied by the egress rule "private"' in message


class ResolvingHandles(Handles):
    """Handles whose name service gives these addresses for every name."""

    addresses = ""

    def make(self, kind: Kind) -> Handle:
        handle = super().make(kind)
        handle.easy.setopt(pycurl.RESOLVE, [f"+{kind[0].rpartition('/')[2]}:{self.addresses}"])
        return handle


@pytest.mark.parametrize("addresses", ["10.0.0.1,127.0.0.1", "127.0.0.1,10.0.0.1", "[fd00::1],127.0.0.1"])
async def test_of_several_addresses_the_allowed_one_is_connected_to(addresses: str) -> None:
    """In whatever order they come; where none is left, the error names the rule."""
    egress = Egress(deny=[EgressRule.parse("10.0.0.0/8"), EgressRule.parse("fd00::/8")])
    handles = ResolvingHandles(Authorities(), keepalive=60)
    handles.addresses = addresses
    transport = CurlTransport(
        authorities=Authorities(), max_keepalive=5, keepalive=60, egress=egress, handles=handles
    )
    async with RawServer(response(b"here")) as server, http_node.HTTPNode(transport=transport) as node:
        url = f"http://mixed.test:{server.port}/"
        assert (await http_node.execute(node, url))["body"] == "here"
        handles.addresses = "10.0.0.1,[fd00::1]"
        with pytest.raises(NodeError, match='egress rule "'):
            await http_node.execute(node, url.replace("mixed", "none"))
