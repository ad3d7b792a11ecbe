"""Egress: the rules of what nodes may connect to, and that every connection keeps to them."""

import ipaddress
import socket
from typing import Any

import pytest
from support import http_node
from support.llm_node import inputs_of
from support.node_calls import FakeContext, prepare
from support.raw_http import RawServer, Received, response

from flowgram_core.nodes.http.node import HTTPNode
from flowgram_core.nodes.llm.node import LLMNode
from flowgram_core.nodes.network.egress import Egress
from flowgram_core.nodes.network.egress_rules import EgressRule, RuleKind
from flowgram_core.nodes.network.own_ports import OwnPorts
from flowgram_core.nodes.node_settings import EgressSettings, HTTPSettings, LLMSettings
from flowgram_server.fake_openai import FakeOpenAI


def rules(*texts: str) -> tuple[EgressRule, ...]:
    return tuple(map(EgressRule.parse, texts))


def decide(egress: Egress, host: str, port: int, address: str) -> str | None:
    """The rule or reason of the first refusal, as a request would meet it; None where it may connect."""
    refusal = egress.refusal_of_host(host, port) or egress.refusal_of_address(
        host, port, ipaddress.ip_address(address)
    )
    if refusal is None:
        return None
    return refusal.split('"')[1] if '"' in refusal else "allow"


async def ask(node: LLMNode, api_host: str) -> dict[str, Any]:
    return await node.execute(prepare(node, {}, inputs_of(api_host)), FakeContext())


@pytest.mark.parametrize(
    ("text", "kind", "ports"),
    [
        ("*", RuleKind.ANY, None),
        ("*:443", RuleKind.ANY, (443, 443)),
        ("API.example.com", RuleKind.NAME, None),
        ("api.example.com:8000-8010", RuleKind.NAME, (8000, 8010)),
        ("*.example.com:443", RuleKind.DOMAIN, (443, 443)),
        ("bücher.example", RuleKind.NAME, None),
        ("10.0.0.0/8", RuleKind.NETWORK, None),
        ("10.1.2.3:5432", RuleKind.NETWORK, (5432, 5432)),
        ("::1", RuleKind.NETWORK, None),
        ("fd00::/8", RuleKind.NETWORK, None),
        ("[fd00::/8]:443", RuleKind.NETWORK, (443, 443)),
        ("[::1]", RuleKind.NETWORK, None),
        ("private", RuleKind.PRIVATE, None),
        ("private:22", RuleKind.PRIVATE, (22, 22)),
        ("link-local", RuleKind.LINK_LOCAL, None),
    ],
)
def test_rules_are_read(text: str, kind: RuleKind, ports: tuple[int, int] | None) -> None:
    """Hosts, domains, addresses, ranges and words, each with a port, ports, or none."""
    rule = EgressRule.parse(text)
    assert (rule.kind, rule.ports) == (kind, ports)


@pytest.mark.parametrize(
    "text",
    ["", "a b", "10.0.0.0/33", "10.0.0.1/8", "a.*.b", "*example.com", "host:0", "host:70000", "host:9-8", "a/b", "http://a", "user@a", "1.2.3"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text: str) -> None:
    """With a text that shows it."""
    with pytest.raises(ValueError, match=r"^\".*\" (is no|names no port)"):
        EgressRule.parse(text)


@pytest.mark.parametrize(
    ("allow", "deny", "host", "port", "address", "by"),
    [
        ((), (), "a.example", 80, "8.8.8.8", None),
        ((), (), "inside.example", 80, "10.0.0.1", None),
        # link-local and metadata, whatever is allowed, unless by its address
        ((), (), "a.example", 80, "169.254.169.254", "link-local"),
        (("*",), (), "a.example", 80, "169.254.169.254", "link-local"),
        (("a.example", "private", "0.0.0.0/0"), (), "a.example", 80, "169.254.169.254", "link-local"),
        (("169.254.169.254",), (), "a.example", 80, "169.254.169.254", None),
        (("169.254.169.254:80",), (), "169.254.169.254", 81, "169.254.169.254", "link-local"),
        (("link-local",), (), "a.example", 80, "::ffff:169.254.1.1", None),
        (("169.254.0.0/16",), ("169.254.169.254",), "a.example", 80, "169.254.169.254", "169.254.169.254"),
        # hosts
        ((), ("bad.example",), "bad.example", 80, "8.8.8.8", "bad.example"),
        ((), ("bad.example",), "BAD.example.", 80, "8.8.8.8", "bad.example"),
        ((), ("bad.example",), "not.bad.example", 80, "8.8.8.8", None),
        ((), ("*.bad.example",), "not.bad.example", 80, "8.8.8.8", "*.bad.example"),
        ((), ("*.bad.example",), "bad.example", 80, "8.8.8.8", None),
        ((), ("*.bad.example",), "verybad.example", 80, "8.8.8.8", None),
        (("*.example",), ("bad.example",), "bad.example", 80, "8.8.8.8", "bad.example"),
        # ports
        ((), ("*:25",), "a.example", 25, "8.8.8.8", "*:25"),
        ((), ("*:25",), "a.example", 26, "8.8.8.8", None),
        (("*:443",), (), "a.example", 80, "8.8.8.8", "allow"),
        (("a.example:443",), (), "a.example", 443, "8.8.8.8", None),
        (("a.example:443",), (), "a.example", 444, "8.8.8.8", "allow"),
        ((), ("private:22",), "a.example", 22, "10.0.0.1", "private:22"),
        ((), ("private:22",), "a.example", 80, "10.0.0.1", None),
        # ranges
        ((), ("8.8.0.0/16",), "a.example", 80, "8.8.8.8", "8.8.0.0/16"),
        ((), ("8.8.0.0/16",), "a.example", 80, "::ffff:8.8.8.8", "8.8.0.0/16"),
        ((), ("8.8.0.0/16",), "0x08.8.8.8", 80, "8.8.8.8", "8.8.0.0/16"),
        ((), ("8.8.0.0/16",), "134744072", 80, "8.8.8.8", "8.8.0.0/16"),
        # private
        ((), ("private",), "a.example", 80, "10.0.0.1", "private"),
        ((), ("private",), "a.example", 80, "8.8.8.8", None),
        (("*",), ("private",), "a.example", 80, "10.0.0.1", "private"),
        (("*.example",), ("private",), "a.example", 80, "10.0.0.1", "private"),
        (("a.example",), ("private",), "a.example", 80, "10.0.0.1", None),
        (("*", "10.0.0.0/24"), ("private",), "a.example", 80, "10.0.0.1", None),
        (("*", "10.0.0.0/24"), ("private",), "a.example", 80, "10.0.1.1", "private"),
        (("*", "10.0.0.0/24"), ("private",), "a.example", 80, "8.8.8.8", None),
        (("*", "private"), ("private",), "a.example", 80, "127.0.0.1", None),
        # only what is allowed
        (("a.example",), (), "b.example", 80, "8.8.8.8", "allow"),
        (("8.8.8.8",), (), "b.example", 80, "8.8.8.8", None),
        (("8.8.8.8",), (), "b.example", 80, "8.8.4.4", "allow"),
    ],
)  # fmt: skip
def test_decisions(
    allow: tuple[str, ...], deny: tuple[str, ...], host: str, port: int, address: str, by: str | None
) -> None:
    """Deny counts more than allow; private and link-local yield to what names them."""
    assert decide(Egress(rules(*allow), rules(*deny)), host, port, address) == by


@pytest.mark.parametrize(
    ("allow", "host", "port", "address", "by"),
    [
        ((), "127.0.0.1", 50051, "127.0.0.1", "own ports"),
        ((), "a.example", 50051, "127.9.9.9", "own ports"),
        ((), "a.example", 50051, "0.0.0.0", "own ports"),  # noqa: S104
        ((), "a.example", 50051, "::1", "own ports"),
        ((), "a.example", 50051, "::ffff:127.0.0.1", "own ports"),
        ((), "a.example", 50052, "127.0.0.1", None),
        ((), "a.example", 50051, "192.0.2.1", None),
        (("*", "127.0.0.1"), "127.0.0.1", 50051, "127.0.0.1", "own ports"),
        (("*:50051",), "127.0.0.1", 50051, "127.0.0.1", "own ports"),
        (("127.0.0.1:50051",), "127.0.0.1", 50051, "127.0.0.1", None),
        (("localhost:50051",), "localhost", 50051, "127.0.0.1", None),
    ],
)
def test_own_ports_are_denied(
    allow: tuple[str, ...], host: str, port: int, address: str, by: str | None
) -> None:
    """At every address of this machine, unless a rule names host and port."""
    egress = Egress(rules(*allow), own_ports=OwnPorts([50051, 0]))
    assert decide(egress, host, port, address) == by


def test_a_port_that_the_server_takes_later_is_denied_from_then_on() -> None:
    """Whatever was decided before."""
    own_ports = OwnPorts()
    egress = Egress(own_ports=own_ports)
    assert egress.refusal_of_host("127.0.0.1", 50051) is None
    assert egress.refusal_at("localhost", 50051, "127.0.0.1") is None
    own_ports.add(50051)
    assert egress.refusal_at("localhost", 50051, "127.0.0.1") == 'is denied by the egress rule "own ports"'
    assert egress.refusal_of_host("127.0.0.1", 50051) == 'is denied by the egress rule "own ports"'


def test_addresses_are_refused_each_by_itself_however_often_a_host_is_asked_for() -> None:
    """What is remembered of one address of a name counts for no other, nor for another port or name."""
    egress = Egress(rules("open.example"), rules("10.0.0.0/8:80", "fe80::/10"), denies_private=True)
    for _ in range(2):
        assert egress.refusal_at("open.example", 80, "93.184.215.14") is None
        assert egress.refusal_at("open.example", 443, "10.0.0.1") is None
        assert (
            egress.refusal_at("open.example", 80, "10.0.0.1")
            == 'is denied by the egress rule "10.0.0.0/8:80"'
        )
        assert egress.refusal_at("open.example", 443, "fe80::1%eth0") == (
            'is denied by the egress rule "link-local"'
        )
        assert egress.refusal_at("other.example", 443, "10.0.0.1") is not None


def test_own_ports_are_denied_at_the_addresses_of_network_interfaces() -> None:
    """The address that this machine has in its network is its own, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; chooses the interface
        except OSError:
            pytest.skip("this machine has no route")
        address = probe.getsockname()[0]
    assert decide(Egress(own_ports=OwnPorts([50051])), address, 50051, address) == "own ports"


def test_a_name_that_is_not_allowed_is_not_resolved() -> None:
    """A name service is asked for nothing that could carry data out; with ranges, it has to be."""
    assert Egress(rules("a.example")).refusal_of_host("data.evil.example", 443) is not None
    assert Egress(rules("a.example", "8.8.8.8")).refusal_of_host("data.evil.example", 443) is None


async def test_http_nodes_say_which_rule_denies_a_connection() -> None:
    """By name, by what the name is resolved to, and behind a redirect; nothing is sent."""
    async with RawServer() as target:
        away = response(status="307 Temporary", Location=f"http://localhost:{target.port}/")
        async with RawServer(away) as server:
            egress = EgressSettings(deny=rules("localhost"))
            async with HTTPNode(egress=egress) as node:
                with pytest.raises(http_node.NodeError) as caught:
                    await http_node.execute(node, server.url, retryTimes=2)
            assert str(caught.value) == f'"localhost:{target.port}" is denied by the egress rule "localhost"'
            assert len(server.received) == 1
        async with HTTPNode(egress=EgressSettings(deny=rules("127.0.0.0/8", "::1"))) as node:
            with pytest.raises(http_node.NodeError, match=r'denied by the egress rule "(127|::1)'):
                await http_node.execute(node, f"http://localhost:{target.port}/")
        async with HTTPNode(egress=EgressSettings(allow=rules("a.example"))) as node:
            with pytest.raises(http_node.NodeError) as caught:
                await http_node.execute(node, target.url)
        assert str(caught.value) == (
            f'"127.0.0.1:{target.port}" is not among what the setting egress.allow names'
        )
        assert target.received == []


async def test_llm_nodes_keep_to_the_same_rules() -> None:
    """Also behind a redirect, and without another attempt."""
    async with RawServer() as target:
        away = response(status="307 Temporary", Location=f"http://127.0.0.2:{target.port}/")
        async with RawServer(away) as server:
            async with LLMNode(egress=EgressSettings(deny=rules("127.0.0.2"))) as node:
                with pytest.raises(http_node.NodeError) as caught:
                    await ask(node, server.url)
            assert str(caught.value) == f'"127.0.0.2:{target.port}" is denied by the egress rule "127.0.0.2"'
            assert len(server.received) == 1
        assert target.received == []


async def test_the_own_settings_of_a_node_type_count_more_about_private() -> None:
    """What is denied for all can be allowed for one type, and the other way round."""
    async with RawServer(response(b"in")) as server:
        denying = EgressSettings(deny_private=True)
        async with HTTPNode(HTTPSettings(deny_private=False), egress=denying) as node:
            assert (await http_node.execute(node, server.url))["body"] == "in"
        for settings, egress in ((None, denying), (HTTPSettings(deny_private=True), None)):
            async with HTTPNode(settings, egress=egress) as node:
                with pytest.raises(http_node.NodeError, match='"private"'):
                    await http_node.execute(node, server.url)
    async with FakeOpenAI(delay=0) as model, LLMNode(LLMSettings(), egress=denying) as node:
        with pytest.raises(http_node.NodeError, match='"private"'):
            await ask(node, model.base_url)


async def test_the_proxy_of_the_settings_gets_every_request() -> None:
    """Though it is private itself; names and literal addresses are looked at before it is asked."""

    async def forward(received: Received) -> bytes:
        return response(b"no", "403 Forbidden") if received.method == "CONNECT" else response(b"by proxy")

    async with RawServer(forward) as proxy:
        egress = EgressSettings(deny=rules("private", "bad.example"), proxy=proxy.url)
        async with HTTPNode(egress=egress) as node:
            outputs = await http_node.execute(node, "http://far.example/x")
            assert outputs["body"] == "by proxy"
            for url in ("http://bad.example/", "http://10.0.0.1/", "http://0x7f.1/", "http://[::1]/"):
                with pytest.raises(http_node.NodeError, match="egress rule"):
                    await http_node.execute(node, url)
            with pytest.raises(http_node.NodeError, match=r"far\.example"):
                await http_node.execute(node, "https://far.example/")
    assert [received.target for received in proxy.received] == ["http://far.example/x", "far.example:443"]
