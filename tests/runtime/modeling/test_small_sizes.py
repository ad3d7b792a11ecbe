"""Sizes of small values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling import large_sizes, sizes
from flowgram_core.modeling.errors import WorkLimitExceeded
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.small_sizes import small_memory_of, small_size_of

TEXTS = (
    st.text(max_size=20)
    | st.sampled_from(["x" * 300, "x" * 1024, "y" * 1025, "ä" * 1024, "\ud800" * 30, "ö" * 1025, "z" * 5000])
)  # fmt: skip
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS


def _containers(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(parts, max_size=6)
        | st.dictionaries(TEXTS, parts, max_size=6)
        # The same object in many places, and longer lists of one kind.
        | st.builds(lambda part, count: [part] * count, parts, st.integers(1, 18))
    )


VALUES = st.recursive(PLAIN, _containers, max_leaves=30)
LIMITS = st.sampled_from([0, 1, 10, 100, 1000, 4096, 4097, 8192, 2**40, 2**63 - 1])


@given(VALUES, LIMITS)
def test_a_size_is_the_one_that_is_found_in_large_values(value: Any, limit: int) -> None:
    """With a meter and without, up to a limit and beyond it; and the same work is counted."""
    expected, found = Meter(), Meter()
    assert sizes.size_of(value, limit) == large_sizes.size_of(value, limit)
    assert sizes.size_of(value, limit, found) == large_sizes.size_of(value, limit, expected)
    assert found.used == expected.used


@given(st.lists(VALUES, max_size=3), LIMITS, st.sampled_from([1, 63, 64, 5000, 2**63 - 1]))
def test_memory_is_the_one_that_is_found_in_large_values(roots: list[Any], limit: int, parts: int) -> None:
    """Parts that are shared count once here as there, and the same work is counted."""
    expected, found = Meter(), Meter()
    for given_roots in (roots, tuple(roots), [*roots, *roots]):
        memory = sizes.memory_of(given_roots, limit, found, parts)
        assert memory == large_sizes.memory_of(given_roots, limit, expected, parts)
        assert found.used == expected.used


@given(VALUES)
def test_small_values_are_no_work_to_size(value: Any) -> None:
    """What counts as small by itself is found without a count of its parts."""
    size = small_size_of(value)
    meter = Meter()
    if size >= 0:
        assert size == large_sizes.size_of(value, 2**40, meter)
        assert meter.used == 0


def test_what_is_not_small_is_left_to_the_other_way() -> None:
    """Many bytes, many parts, long lists, and long texts of other alphabets; nothing that contains itself is followed for long."""
    endless: list[Any] = []
    endless.append(endless)
    for value in (
        {"a": "x" * 4097},
        dict.fromkeys(map(str, range(16))),
        {"a": list(range(17))},
        {"a": "ä" * 1025},
        {"x" * 5000: 1},
        endless,
    ):
        assert small_size_of(value) == -1
    assert small_memory_of([endless], 2**40, Meter()) >= 0  # as its inside counts once
    assert small_memory_of([list(range(17))], 2**40, Meter()) == -1
    assert small_memory_of([dict.fromkeys(map(str, range(64)))], 2**40, Meter()) == -1
    assert (
        small_size_of({"a": 1, "b": "xy", "c": None, "d": True, "e": [0.5]}) == 2 + 4 * 5 + 5 + 4 * 3 + 4 + 7
    )


def test_work_on_small_values_counts_toward_the_limit() -> None:
    """As that on large ones does."""
    meter = Meter(150)
    sizes.memory_of([{"a": 1}], 1000, meter)
    with pytest.raises(WorkLimitExceeded):
        sizes.memory_of([{"a": 1}], 1000, meter)
