import gc
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling.disposal import dispose

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


def containers() -> int:
    return sum(type(each) in (list, dict) for each in gc.get_objects())


def test_what_nobody_has_is_taken_apart() -> None:
    """Nothing is left of values to which there is no other reference, however deep they are."""
    gc.disable()
    try:
        nested: Any = []
        for _ in range(10_000):
            nested = [{"inner": nested, "other": [1, 2, 3]}]
        values = [nested]
        del nested
        before = containers()
        dispose(values)
        assert values == []
        assert before - containers() == 30_001
    finally:
        gc.enable()


@given(JSON)
def test_what_somebody_has_stays(value: Any) -> None:
    """A value that is in use is not touched, wherever it stands in what is disposed of."""
    text = json.dumps(value)
    dispose([value, {"a": [value], "b": value}, [[value]]])
    assert json.dumps(value) == text
