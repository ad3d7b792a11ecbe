import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs
from support.fakes import FakeClock
from support.issuer import Issuer

from flowgram_server.auth.errors import CredentialFileUnusable, CredentialsInvalid
from flowgram_server.auth.signing_keys import RemoteKeys, key_set_fetcher, read_key_set


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def address(issuer: Issuer) -> Iterator[str]:
    with issuer.published() as address:
        yield address


class Remote:
    """The keys of an issuer, and how often keys were gone."""

    def __init__(self, address: str, max_age: float = 3600) -> None:
        self.clock = FakeClock()
        self.changes = 0
        self.keys = RemoteKeys(key_set_fetcher(address), self.clock, max_age, self._changed)

    def _changed(self) -> None:
        self.changes += 1


async def test_keys_are_fetched_once(issuer: Issuer, address: str) -> None:
    """However many tokens come at once, the issuer is asked once."""
    remote = Remote(address)
    await asyncio.gather(*(remote.keys.find("one") for _ in range(20)))
    assert issuer.fetches == 1


async def test_a_new_key_is_found(issuer: Issuer, address: str) -> None:
    """A token of a key that is not known yet makes the server ask; made-up ids do so every ten seconds at most."""
    remote = Remote(address)
    await remote.keys.find("one")
    issuer.keys["two"] = ec.generate_private_key(ec.SECP256R1())
    for _ in range(5):
        with pytest.raises(CredentialsInvalid, match="does not have"):
            await remote.keys.find("two")
    assert issuer.fetches == 1
    remote.clock.advance(10.1)
    await remote.keys.find("two")
    assert (issuer.fetches, remote.changes) == (2, 0)


async def test_a_key_that_is_gone(issuer: Issuer, address: str) -> None:
    """It is known no more, and neither are tokens that it signed."""
    remote = Remote(address)
    await remote.keys.find("one")
    issuer.keys = {"two": ec.generate_private_key(ec.SECP256R1())}
    assert await remote.keys.refresh()
    assert remote.changes == 1
    with pytest.raises(CredentialsInvalid):
        await remote.keys.find("one")


async def test_a_key_that_is_replaced_under_its_id(issuer: Issuer, address: str) -> None:
    """The former one is known no more, and neither are tokens that it signed; what is fetched again as it was changes nothing."""
    remote = Remote(address)
    former = await remote.keys.find("one")
    assert await remote.keys.refresh()
    assert remote.changes == 0
    issuer.keys["one"] = ec.generate_private_key(ec.SECP256R1())
    assert await remote.keys.refresh()
    assert remote.changes == 1
    assert (await remote.keys.find("one")).key != former.key


async def test_an_issuer_that_is_away(issuer: Issuer, address: str) -> None:
    """Keys that were fetched serve for the time that the settings say, and then no token is valid until it is back."""
    remote = Remote(address, max_age=3600)
    await remote.keys.find("one")
    issuer.away = True
    remote.clock.advance(3600)
    with capture_logs() as logs:
        assert not await remote.keys.refresh()
    assert [(line["log_level"], line["age"]) for line in logs] == [("warning", 3600)]
    await remote.keys.find("one")
    remote.clock.advance(11)
    with pytest.raises(CredentialsInvalid, match="could not be fetched"):
        await remote.keys.find("one")
    issuer.away = False
    remote.clock.advance(11)
    await remote.keys.find("one")


async def test_an_issuer_that_was_never_there(issuer: Issuer, address: str) -> None:
    """No token is valid, which is an error in the log, and it is asked again and again, more and more seldom."""
    issuer.away = True
    remote = Remote(address)
    with capture_logs() as logs:
        keeping = asyncio.create_task(remote.keys.keep())
        await remote.clock.sleeping()
    assert logs[0]["log_level"] == "error"
    with pytest.raises(CredentialsInvalid, match="could not be fetched"):
        await remote.keys.find("one")
    issuer.away = False
    remote.clock.advance(1)
    await remote.keys.refresh()
    await remote.keys.find("one")
    assert issuer.fetches == 2
    keeping.cancel()


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"keys": []}', '{"keys": 5}', '{"keys": [5, {}]}', "<html>"),
        '{"keys": [{"kty": "oct", "k": "c2U"}]}',
        '{"keys": [{"kty": "RSA", "n": 5, "e": "AQAB"}, {"kty": ["EC"]}]}',
        '{"keys": ' + "[" * 100_000,
    ],
)
async def test_what_is_no_key_set(issuer: Issuer, address: str, text: str, tmp_path: Path) -> None:
    """It is notified of an address and of a file."""
    path = tmp_path / "keys.json"
    path.write_text(text)
    with pytest.raises(CredentialFileUnusable, match=r"keys\.json: is no JSON Web Key Set"):
        read_key_set(path)
    issuer.key_set = lambda: text  # type: ignore[method-assign]  # what is published
    with capture_logs() as logs:
        assert not await Remote(address).keys.refresh()
    assert address in logs[0]["reason"]


def test_a_file(issuer: Issuer, tmp_path: Path) -> None:
    """The keys of a file are those that it has; one that is missing is named."""
    path = tmp_path / "keys.json"
    path.write_text(issuer.key_set())
    assert read_key_set(path).ids == {"one"}
    with pytest.raises(CredentialFileUnusable, match="No such file"):
        read_key_set(tmp_path / "none")


async def test_more_than_a_key_set(issuer: Issuer, address: str) -> None:
    """An answer without end is given up, before it fills the memory."""
    keys = issuer.key_set()
    issuer.key_set = lambda: keys + " " * (2 << 20)  # type: ignore[method-assign]  # what is published
    with capture_logs() as logs:
        assert not await Remote(address).keys.refresh()
    assert "has at most 1048576 bytes" in logs[0]["reason"]


@pytest.mark.parametrize(
    ("to", "expected"),
    [("http://id.example.com/keys", "not encrypted"), ("file:///etc/passwd", "HTTPError"), (None, None)],
)
async def test_keys_elsewhere(issuer: Issuer, address: str, to: str | None, expected: str | None) -> None:
    """A redirect is followed to where nobody can change the keys on the way, and nowhere else."""
    issuer.redirect = to or address
    with capture_logs() as logs:
        assert await Remote(f"{address}-of-before").keys.refresh() == (expected is None)
    assert [expected in line["reason"] for line in logs] == ([True] if expected else [])
