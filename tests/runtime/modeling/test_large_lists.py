import sys
from typing import Any

from flowgram_core.modeling import json_text
from flowgram_core.modeling.large_lists import LARGE, let_grow


def test_a_list_keeps_what_is_in_it() -> None:
    """And has no more room than any list, nor does it when it grows."""
    values: list[Any] = [*range(LARGE)]
    let_grow(values)
    assert values == [*range(LARGE)]
    assert sys.getsizeof(values) < 2 * sys.getsizeof([*range(LARGE)])
    values += range(LARGE)
    assert values == [*range(LARGE), *range(LARGE)]
    assert sys.getsizeof(values) < 4 * sys.getsizeof([*range(LARGE)])


def test_long_arrays_of_json_are_read_whole() -> None:
    """Across the length from which on they are moved, whatever is in them."""
    for item, value in (("{}", {}), ("7", 7), ('"a"', "a"), ("[[]]", [[]])):
        count = 3 * LARGE
        assert json_text.loads(f"[{','.join([item] * count)}]") == [value] * count
