"""Secret texts: what is found of them is what a search for each by itself finds."""

from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.nodes.secret_texts import SecretTexts

TEXTS = st.text(alphabet="ab.", min_size=1, max_size=40)


@given(st.lists(TEXTS, max_size=5), st.text(alphabet="ab.", max_size=90))
def test_what_is_found(secrets: list[str], text: str) -> None:
    """Whether one is in a text, and the longest end of it with which one begins."""
    known = SecretTexts(dict.fromkeys(secrets, "…"))
    assert known.any_in(text) == any(secret in text for secret in secrets)
    ends = (
        length
        for length in range(len(text), 0, -1)
        for secret in secrets
        if length < len(secret) and secret.startswith(text[-length:])
    )
    assert known.beginning(text) == next(ends, 0)


def test_long_secrets() -> None:
    """Such as certificates: of many of them no more than the beginnings is kept."""
    secret = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    known = SecretTexts({secret: "…"})
    assert known.beginning(f"x{secret[:19_999]}") == 19_999
    assert known.beginning(f"{secret[:100]}x") == 0
    assert known.any_in(f"x{secret}")


def test_none() -> None:
    """Nothing is found."""
    known = SecretTexts()
    assert (known.any_in("a"), known.beginning("a"), known) == (False, 0, {})
