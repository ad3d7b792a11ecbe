"""Targets: the parts of addresses in the forms in which they are used."""

import pytest

from flowgram_core.nodes.http.url import parse_url
from flowgram_core.nodes.network.targets import Targets


@pytest.mark.parametrize(
    ("address", "origin", "ascii_host", "host", "port", "path"),
    [
        ("http://a.example", "http://a.example", "a.example", "a.example", 80, "/"),
        ("https://A.example:8443/b?c=1#d", "https://a.example:8443", "a.example", "a.example", 8443, "/b?c=1"),
        ("https://a.example:443/", "https://a.example", "a.example", "a.example", 443, "/"),
        ("http://[::1]:81/", "http://[::1]:81", "::1", "::1", 81, "/"),
        ("http://b\u00fccher.example/", "http://xn--bcher-kva.example", "xn--bcher-kva.example", "b\u00fccher.example", 80, "/"),
    ],
)  # fmt: skip
def test_parts(address: str, origin: str, ascii_host: str, host: str, port: int, path: str) -> None:
    """Also of addresses of IPv6, international names, and without a port."""
    target = Targets().find(parse_url(address))
    assert (target.origin, target.ascii_host, target.host) == (origin, ascii_host, host)
    assert (target.port, target.path) == (port, path)
    assert f"http://{target.host_and_port}".replace("http:", origin.partition("//")[0]) == origin


def test_an_address_that_comes_again_has_its_target_already() -> None:
    """Each has its own, however many there are, and those with long paths are not kept."""
    targets = Targets()
    url = parse_url("http://a.example/1")
    assert targets.find(url) is targets.find(url)
    for number in range(1000):
        assert targets.find(parse_url(f"http://b.example/{number}")).path == f"/{number}"
    assert targets.find(url).path == "/1"
    long = parse_url("http://a.example/" + "x" * 3000)
    assert targets.find(long) is not targets.find(long)
