"""Values that are read from their own text as they are."""

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from flowgram_core.modeling.json_text import dumps, loads
from flowgram_core.modeling.json_values import is_read_as_it_is

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("\ud800")
VALUES = st.recursive(
    PLAIN,
    lambda parts: (
        st.lists(parts, max_size=9)
        | st.dictionaries(st.text(max_size=9) | st.just("\ud800"), parts, max_size=9)
    ),
)


def shape(value: Any) -> Any:
    """A value with the types and the order of all that is in it."""
    if isinstance(value, dict):
        return [dict, *((name, shape(member)) for name, member in value.items())]
    return [list, *map(shape, value)] if isinstance(value, list) else (type(value), value)


@given(VALUES)
@example({"headers": {"a": "x", "b": ["1", "2"]}, "statusCode": 200, "body": "{}", "none": None, "yes": True})
def test_what_is_read_as_it_is_differs_in_nothing(value: Any) -> None:
    """Not in the types of its parts, nor in their order."""
    if is_read_as_it_is(value):
        assert shape(loads(dumps(value))) == shape(value)


def test_usual_outputs_are_read_as_they_are() -> None:
    """And what may differ, or is large, or contains itself, is not taken for that."""
    endless: list[Any] = []
    endless.append(endless)
    assert is_read_as_it_is(
        {"headers": {"a": "x"}, "statusCode": 200, "body": "{}", "none": None, "yes": [True]}
    )
    for value in (
        0.5,
        2**53,
        "\u00e4",
        (1,),
        {1: 2},
        [0] * 64,
        endless,
        b"",
        {"\u00e4": 1},
        type("S", (str,), {})("x"),
    ):
        assert not is_read_as_it_is(value)
