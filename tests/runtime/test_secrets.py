"""What is masked before anybody sees it."""

from typing import Any

import pytest

from flowgram_runtime.secrets import SECRET_HEADERS, Secrets, mask, scrub

KEY = "sk-12345678901234567890"
MASKED = "sk-…7890"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(KEY, MASKED), ("0123456789abcdef", "012…cdef"), ("0123456789abcde", "…"), ("short", "…"), ("", "…")],
)
def test_what_is_shown_of_a_secret(secret: str, shown: str) -> None:
    """Three characters at the front and four at the end of a long one, nothing of a short one."""
    assert mask(secret) == shown


def test_inputs_with_secret_names_are_masked() -> None:
    """The real inputs stay as they are: the call needs them."""
    inputs = {"apiKey": KEY, "prompt": "hello"}
    assert Secrets().mask_inputs(inputs) == {"apiKey": MASKED, "prompt": "hello"}
    assert inputs == {"apiKey": KEY, "prompt": "hello"}


def test_settings_name_more_secrets() -> None:
    """The names are exact, and only those count."""
    secrets = Secrets({"token"})
    assert secrets.mask_inputs({"token": KEY, "apiKey": KEY, "Token": KEY}) == {
        "token": MASKED,
        "apiKey": KEY,
        "Token": KEY,
    }


@pytest.mark.parametrize(
    ("value", "shown"), [(None, None), (5, "…"), ({"a": KEY}, "…"), ([KEY], "…"), ("", "…")]
)
def test_secrets_of_other_types(value: Any, shown: Any) -> None:
    """Nothing is shown of them, but for that there is none."""
    assert Secrets().mask_inputs({"apiKey": value}) == {"apiKey": shown}


def test_inputs_without_secrets_are_not_copied() -> None:
    """Every node run passes here."""
    inputs = {"prompt": "hello"}
    assert Secrets().mask_inputs(inputs) is inputs


@pytest.mark.parametrize("name", [*sorted(SECRET_HEADERS), "Authorization", "COOKIE", "X-Api-Key"])
def test_headers_that_carry_credentials_are_masked(name: str) -> None:
    """Whatever the case of their names; other headers are shown."""
    shown = Secrets().mask_inputs({"headers": {name: f"Bearer {KEY}", "accept": "text/plain"}})
    assert shown == {"headers": {name: "Bea…7890", "accept": "text/plain"}}


def test_names_in_the_settings_hold_for_headers_too() -> None:
    """Where the case of names does not matter."""
    shown = Secrets({"X-Secret"}).mask_inputs({"headers": {"x-secret": KEY, "X-SECRET": KEY, "x-other": KEY}})
    assert shown == {"headers": {"x-secret": MASKED, "X-SECRET": MASKED, "x-other": KEY}}


@pytest.mark.parametrize("headers", [None, "text", [KEY], {}])
def test_headers_that_are_none(headers: Any) -> None:
    """An input may be called so and be something else."""
    assert Secrets().mask_inputs({"headers": headers}) == {"headers": headers}


def test_the_secrets_in_inputs() -> None:
    """Texts only: what else is masked whole shows up nowhere else."""
    inputs = {
        "apiKey": KEY,
        "prompt": "hello",
        "headers": {"Authorization": "Bearer x", "accept": "text/plain", "cookie": 5},
    }
    assert Secrets().values(inputs) == [KEY, "Bearer x"]
    assert Secrets().values({"apiKey": None, "headers": None}) == []


def test_texts_are_scrubbed_of_secrets() -> None:
    """Every occurrence; nothing where there is no secret."""
    assert scrub(f"bad key {KEY} ({KEY})", [KEY]) == f"bad key {MASKED} ({MASKED})"
    assert scrub("all is well", [KEY, ""]) == "all is well"


def test_a_secret_inside_another_leaves_nothing_behind() -> None:
    """The longer one is masked first, whichever was named first."""
    longer = f"{KEY}-and-more-of-it"
    assert scrub(f"bad key {longer}", [KEY, longer]) == "bad key sk-…f-it"
