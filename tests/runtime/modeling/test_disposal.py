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


def test_others_have_their_turn_between_parts() -> None:
    """However the parts lie, and those that stay are given back once."""
    pauses, kept = [], {"a": [1]}
    values = [
        kept,
        [kept, [{} for _ in range(50_000)], list(range(2**20)), {str(n): [n] for n in range(50_000)}],
    ]
    assert dispose(values, lambda: pauses.append(len(values))) == [kept]
    assert kept == {"a": [1]}
    assert len(pauses) >= 5


@given(JSON)
def test_what_somebody_has_stays(value: Any) -> None:
    """A value that is in use is not touched, wherever it stands in what is disposed of."""
    text = json.dumps(value)
    dispose([value, {"a": [value], "b": value}, [[value]]])
    assert json.dumps(value) == text
