"""The Host check: names that were made to lead to this machine are refused."""

import pytest
from support.gateway import gateway_to
from support.scripted_server import ScriptedServer

from flowgram_server.gateway.host_check import AllowedHosts
from flowgram_server.settings.gateway import GatewaySettings


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:4000",
        "LOCALHOST:1",
        "localhost.",
        "localhost.:4000",
        "localhost:",
        "127.0.0.1:4000",
        "127.1.2.3",
        "[::1]:4000",
        "[::1]",
        "a.localhost",
    ],
)
def test_this_machine_is_allowed(host: str) -> None:
    """By its names and its loopback addresses, with and without a port."""
    assert AllowedHosts("127.0.0.1").allows(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:4000",
        "",
        "10.0.0.1",
        "localhost.evil.example",
        "evil.example.",
        ".",
        "evil@localhost",
        "localhost:80@evil",
        "localhost, evil",
        "127.1",
        "[::2]",
        "127.0.0.1.evil.example",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """Whatever they lead to."""
    assert not AllowedHosts("127.0.0.1").allows(host)


def test_where_it_listens_is_allowed() -> None:
    """The address itself; on a wildcard every address of the machine, and no name."""
    assert AllowedHosts("10.0.0.7").allows("10.0.0.7:4000")
    assert not AllowedHosts("10.0.0.7").allows("10.0.0.8")
    assert AllowedHosts("0.0.0.0").allows("10.0.0.8:4000")  # noqa: S104 - nothing listens
    assert AllowedHosts("::").allows("[2001:db8::1]:4000")
    assert not AllowedHosts("::").allows("evil.example")


def test_names_of_the_setting_are_allowed() -> None:
    """And all names where it says so."""
    assert AllowedHosts("127.0.0.1", ["workflows.example.com"]).allows("Workflows.example.com:443")
    assert AllowedHosts("127.0.0.1", ["*"]).allows("anything")


async def test_a_rebound_name_is_refused(scripted: ScriptedServer) -> None:
    """Before anything else is looked at: 403 and a code of its own, for reading requests too."""
    async with gateway_to(scripted.target) as gateway:
        answer = await gateway.http.get("/api/info", headers={"Host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (403, "HOST_NOT_ALLOWED")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    settings = GatewaySettings(allowed_hosts=frozenset({"good.example"}))
    async with gateway_to(scripted.target, settings) as gateway:
        answer = await gateway.http.get("/api/openapi.json", headers={"Host": "good.example"})
        assert answer.status_code == 200
