"""What answers hold together: bounded, and shared so that a small one comes beside many large ones."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.engine.errors import NodeError
from flowgram_core.nodes.network.held_bytes import HeldBytes


def test_beyond_the_limit_one_with_more_than_its_share_fails() -> None:
    """It gives back what it held; those with less go on."""
    held = HeldBytes(1000, "x.max_held_bytes")
    with held.open() as first, held.open() as second:
        first.hold(900)
        second.hold(500)
        with pytest.raises(
            NodeError,
            match=r"hold more than the limit x\.max_held_bytes = 1000$",
        ):
            second.hold(501)
        first.hold(800)  # what shrinks never fails
    assert (held.total, held.holders) == (0, 0)


def test_one_alone_may_hold_all() -> None:
    """Up to the limit."""
    held = HeldBytes(1000, "x")
    with held.open() as only:
        only.hold(1000)
        with pytest.raises(NodeError):
            only.hold(1001)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 400)), max_size=200))
def test_together_they_hold_less_than_twice_the_limit(growths: list[tuple[int, int]]) -> None:
    """However they grow, if none holds more once it has failed."""
    held = HeldBytes(1000, "x")
    sizes = [0] * 10
    with ExitStack() as stack:
        shares = [stack.enter_context(held.open()) for _ in sizes]
        for index, growth in growths:
            try:
                shares[index].hold(sizes[index] + growth)
                sizes[index] += growth
            except NodeError:
                shares[index].hold(sizes[index])
        assert held.total == sum(sizes) <= 2000
    assert held.total == 0
