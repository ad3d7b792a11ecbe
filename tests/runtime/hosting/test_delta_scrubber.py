"""Deltas without secrets, however they are cut."""

from hypothesis import given
from hypothesis import strategies as st
from support.node_calls import FakeContext

from flowgram_core.hosting.delta_scrubber import ScrubbedContext
from flowgram_core.hosting.secrets import scrub

SECRETS = ["sk-sk-12345678", "1234567890"]


def scrubbed(pieces: list[str]) -> list[str]:
    context = FakeContext()
    scrubbing = ScrubbedContext(context, SECRETS)
    for piece in pieces:
        scrubbing.emit_delta(piece)
    scrubbing.flush()
    return context.deltas


def test_a_secret_in_many_pieces_is_masked() -> None:
    """As it is in one."""
    assert "".join(scrubbed([*"the key is sk-sk-12345678!"])) == "the key is …!"
    assert scrubbed(["the key is sk-sk-12345678!"]) == ["the key is …!"]


def test_what_only_begins_like_a_secret_comes_at_last() -> None:
    """Nothing is lost, and what cannot be one comes at once."""
    assert scrubbed(["plain", " sk", "-", "x", " sk-sk-"]) == ["plain", " ", "sk-x", " ", "sk-sk-"]


def test_the_context_is_that_of_the_call() -> None:
    """For those who ask for its names."""
    scrubbing = ScrubbedContext(FakeContext(task_id="t", idempotency_key="t/n"), SECRETS)
    assert (scrubbing.task_id, scrubbing.idempotency_key) == ("t", "t/n")


@given(st.lists(st.text(alphabet="sk-12345678 90", max_size=12)))
def test_no_secret_comes_through(pieces: list[str]) -> None:
    """Whatever the pieces are; and all that is none comes through."""
    shown = "".join(scrubbed(pieces))
    assert not any(secret in shown for secret in SECRETS)
    whole = "".join(pieces)
    if not any(secret in whole for secret in SECRETS):
        assert shown == whole
    assert scrub(whole, SECRETS).count("…") <= whole.count("1") + whole.count("s")
