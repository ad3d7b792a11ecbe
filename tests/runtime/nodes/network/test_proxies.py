"""Proxies of the environment: which request goes through which, and what the proxy sees."""

import pytest
from support import http_node, llm_node
from support.raw_http import RawServer, response

from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.proxies import Proxies
from flowgram_core.nodes.node_settings import HTTPSettings, LLMSettings

TRUSTING = HTTPSettings(trust_env=True)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://h/", "http://one:3128"),
        ("https://h/", "http://two:1"),
        ("https://inside.example/", None),
        ("https://a.inside.example/", None),
        ("http://127.0.0.1:80/", None),
        ("http://127.0.0.2/", "http://one:3128"),
    ],
)
def test_each_scheme_has_its_proxy_and_there_are_exceptions(url: str, found: str | None) -> None:
    """An address without a scheme is one of HTTP."""
    proxies = Proxies({"http": "one:3128", "https": "http://two:1", "no": "inside.example,127.0.0.1"})
    assert proxies.find(parse_url(url)) == found


@pytest.mark.parametrize(
    ("address", "found"), [("socks5://p:1", "socks5h://p:1"), ("https://p", "https://p"), ("", None)]
)
def test_one_proxy_for_all(address: str, found: str | None) -> None:
    """One of SOCKS resolves the names itself."""
    assert Proxies({"all": address}).find(parse_url("http://h/")) == found


async def test_a_plain_request_is_handed_to_the_proxy_with_its_whole_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the credentials of the proxy, which the server does not see, are sent to it."""
    async with RawServer(response(b"from there")) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        outputs = await http_node.send("http://far.example:8080/a/../b?c=%7e", TRUSTING)
    (received,) = proxy.received
    assert outputs["body"] == "from there"
    assert received.target == "http://far.example:8080/b?c=%7e"
    assert received.headers["host"] == "far.example:8080"
    assert received.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"


@pytest.mark.parametrize("failure", [http_node.failure, llm_node.failure])
async def test_a_secure_request_asks_the_proxy_for_a_tunnel(
    monkeypatch: pytest.MonkeyPatch, failure: object
) -> None:
    """It sees the host, and nothing of the request. A refusal is no response of the server."""
    async with RawServer(response(b"no", "403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        if failure is http_node.failure:
            message = await http_node.failure("https://far.example/secret", TRUSTING)
        else:
            settings = LLMSettings(trust_env=True, max_retries=0)
            message = await llm_node.failure("https://far.example/secret", settings)
    (received,) = proxy.received
    assert (received.method, received.target) == ("CONNECT", "far.example:443")
    assert "secret" not in f"{received.headers}"
    assert "far.example" in message


async def test_without_trust_the_environment_has_no_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even in lower case, as libcurl itself would read it."""
    async with RawServer(response(b"direct")) as server, RawServer() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert (await http_node.send(server.url))["body"] == "direct"
        assert proxy.received == []
