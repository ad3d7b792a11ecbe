import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_client import RetryPolicy


def test_waits_double_up_to_the_maximum() -> None:
    """Without luck in the jitter, each wait is twice the last, and never more than the maximum."""
    policy = RetryPolicy(attempts=6, initial=0.5, maximum=3.0)
    assert [policy.delay(n, lambda: 1.0) for n in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_gives_up_after_the_last_attempt() -> None:
    """There are as many attempts as the policy says, the first one counted."""
    assert RetryPolicy(attempts=1).delay(1, lambda: 0.0) is None
    assert RetryPolicy(attempts=2).delay(1, lambda: 0.0) is not None
    assert RetryPolicy(attempts=2).delay(2, lambda: 0.0) is None


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_jitter_takes_at_most_half(failures: int, luck: float) -> None:
    """A wait is between half and the whole of what it would be without jitter, however many failures."""
    delay = RetryPolicy(attempts=100_000).delay(failures, lambda: luck)
    whole = RetryPolicy(attempts=100_000).delay(failures, lambda: 1.0)
    assert delay is not None
    assert whole is not None
    assert whole / 2 <= delay <= whole <= 5.0


def test_the_servers_advice_is_a_lower_bound() -> None:
    """A server that asks for a longer delay gets it."""
    assert RetryPolicy().delay(1, lambda: 0.0, advice=7.0) == 7.0


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"initial": -1.0}, {"multiplier": 0.5}, {"maximum": -1.0}]
)
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    """A policy that never tries, or waits for less than nothing, is an error where it is made."""
    with pytest.raises(ValueError, match=r"attempts is at least 1|waits are not negative"):
        RetryPolicy(**wrong)  # type: ignore[arg-type]  # floats by name
