"""Sizes of small objects."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import size_of
from flowgram_core.modeling.small_sizes import small_size_of

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300)
VALUES = st.dictionaries(st.text(max_size=400), PLAIN | st.lists(st.integers(), max_size=2), max_size=14)


@given(VALUES)
def test_it_is_the_size_that_is_found_otherwise(values: dict[str, Any]) -> None:
    """And no work is counted for it there either."""
    found = small_size_of(values)
    if found >= 0:
        meter = Meter()
        assert found == size_of(values, 2**40, meter)
        assert meter.used == 0


def test_what_is_not_small_or_not_plain_is_left_to_the_other_way() -> None:
    """Long texts, many members, other alphabets, and what has parts."""
    for values in (
        {"a": "x" * 257},
        dict.fromkeys(map(str, range(13))),
        {"a": "ä"},
        {"a": []},
        {"a": {}},
        {"x" * 5000: 1},
    ):
        assert small_size_of(values) == -1
    assert (
        small_size_of({"a": 1, "b": "xy", "c": None, "d": True, "e": 0.5})
        == 2 + 4 * 5 + 5 + 4 + 4 + 4 + 4 + 4
    )
