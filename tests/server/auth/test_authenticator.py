from datetime import UTC, datetime

import pytest
from support.fakes import FakeClock

from flowgram_server.auth.api_keys import APIKeys, new_key
from flowgram_server.auth.authenticator import MAX_KNOWN, Authenticator, Known
from flowgram_server.auth.errors import CredentialsInvalid
from flowgram_server.auth.failure_delay import FailureDelay
from flowgram_server.auth.principal import Principal, Role, Verified

SOMEBODY = Principal("token:me", "team-a", Role.READER)


class Tokens:
    """Every token is valid."""

    def __init__(self, expires: int | None = None) -> None:
        self.expires = expires
        self.checked: list[str] = []

    async def verify(self, token: str, now: int) -> Verified:
        self.checked.append(token)
        return Verified(SOMEBODY, self.expires)


async def test_a_credential_is_checked_once() -> None:
    """What was found valid is known for a minute."""
    clock, tokens = FakeClock(), Tokens()
    authenticator = Authenticator(clock, tokens=tokens)
    assert authenticator.known("Bearer t") is None
    assert (await authenticator.check("Bearer t")).principal == SOMEBODY
    clock.advance(59.9)
    assert authenticator.known("Bearer t") is not None
    clock.advance(0.1)
    assert authenticator.known("Bearer t") is None
    assert tokens.checked == ["t"]


def test_logs_show_the_beginning_of_a_long_name() -> None:
    """The subject of a token is its issuer's to choose, and stands in a line of each call."""
    known = Known.of(Principal("token:" + "s" * 5_000, "team-a", Role.READER), 1)
    assert known.fields == {"principal": "token:" + "s" * 121 + "…", "namespace": "team-a"}


async def test_what_has_expired_is_known_no_more() -> None:
    """A credential is never valid beyond its own end."""
    clock = FakeClock()
    authenticator = Authenticator(clock, tokens=Tokens(clock.now() + 1_000_000))
    await authenticator.check("Bearer t")
    clock.advance(1)
    assert authenticator.known("Bearer t") is None


async def test_revoking_a_key_forgets_it() -> None:
    """A key that is in the file no more is refused at once."""
    clock = FakeClock()
    text, key = new_key(
        namespace="a", role="admin", lifetime=None, note="", now=datetime(2026, 1, 1, tzinfo=UTC)
    )
    authenticator = Authenticator(clock, keys=APIKeys([key]))
    await authenticator.check(f"Bearer {text}")
    assert authenticator.known(f"Bearer {text}") is not None
    authenticator.replace_keys(APIKeys([]))
    assert authenticator.known(f"Bearer {text}") is None
    with pytest.raises(CredentialsInvalid):
        await authenticator.check(f"Bearer {text}")


async def test_what_is_known_is_bounded() -> None:
    """However many credentials there are, memory is not; the oldest are checked again."""
    tokens = Tokens()
    authenticator = Authenticator(FakeClock(), tokens=tokens)
    for number in range(MAX_KNOWN + 1):
        await authenticator.check(f"Bearer {number}")
    assert len(authenticator._bearers) == MAX_KNOWN
    assert authenticator.known("Bearer 0") is None
    assert authenticator.known("Bearer 1") is not None


async def test_a_certificate_is_no_bearer() -> None:
    """Certificates are public: the text of one that was found valid says nothing as an `authorization`."""

    class Certificates:
        def verify(self, certificate: bytes) -> Verified:
            return Verified(SOMEBODY, None)

    authenticator = Authenticator(FakeClock(), keys=APIKeys([]), certificates=Certificates())
    pem = "-----BEGIN CERTIFICATE-----"
    assert authenticator.holder(pem.encode()).principal == SOMEBODY
    assert authenticator.known(pem) is None
    with pytest.raises(CredentialsInvalid):
        await authenticator.check(pem)


@pytest.mark.parametrize(
    "text", ["", "t", "Basic dDp0", "Bearer", "Bearer ", "Bearer  ", "Bearer " + "x" * 8193]
)
async def test_what_is_no_bearer(text: str) -> None:
    """Whatever is no bearer's credential is refused before anything is computed of it."""
    tokens = Tokens()
    with pytest.raises(CredentialsInvalid):
        await Authenticator(FakeClock(), tokens=tokens).check(text)
    assert tokens.checked == []


async def test_the_scheme_in_any_case() -> None:
    """RFC 9110: schemes have no case."""
    assert (await Authenticator(FakeClock(), tokens=Tokens()).check("bearer  t ")).principal == SOMEBODY


async def test_keys_and_tokens_together() -> None:
    """What begins like a key is looked up as one, and all else is a token."""
    tokens = Tokens()
    authenticator = Authenticator(FakeClock(), keys=APIKeys([]), tokens=tokens)
    with pytest.raises(CredentialsInvalid):
        await authenticator.check("Bearer fgk_x")
    assert (await authenticator.check("Bearer x")).principal == SOMEBODY
    assert tokens.checked == ["x"]


async def test_refusals_wait_longer_each_time() -> None:
    """The delays of one peer grow to two seconds; those of another begin anew, and a quiet minute is enough."""
    delays: list[float] = []

    class Clock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            delays.append(seconds)

    clock = Clock()
    delay = FailureDelay(clock)
    for _ in range(8):
        await delay.wait("ipv4:10.0.0.1:5000")
    assert delays == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert await delay.wait("ipv4:10.0.0.1:6000") == 9
    assert await delay.wait("ipv4:10.0.0.2:5000") == 1
    clock.advance(61)
    assert await delay.wait("ipv4:10.0.0.1:5000") == 1


async def test_refusals_of_one_network() -> None:
    """A customer of IPv6 has more addresses than could be counted: they are one. An IPv4 address within IPv6 is none of these."""

    class Clock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            return

    delay = FailureDelay(Clock())
    assert await delay.wait("ipv6:%5B2001:db8::1%5D:5000") == 1
    assert await delay.wait("[2001:db8::ffff:2]:5000") == 2
    assert await delay.wait("[2001:db8:0:1::1]:5000") == 1
    assert await delay.wait("[::ffff:192.0.2.1]:5000") == 1
    assert await delay.wait("[::ffff:192.0.2.2]:5000") == 1
