import gc
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling.disposal import Disposable, dispose

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


class Whole(Disposable):
    """Something that is made of many objects."""

    def __init__(self, parts: Any) -> None:
        self.parts = parts


class Part:
    """One of them, in slots, with a closure."""

    __slots__ = ("__weakref__", "compute", "data")

    def __init__(self, number: int) -> None:
        self.data = {"number": [number]}
        self.compute = lambda: self.data["number"]


def test_an_object_of_many_parts_is_taken_apart() -> None:
    """One part after the other, whatever holds them: no part waits for a collection that is not its own garbage."""
    pauses: list[int] = []
    values: list[Any] = [Whole(tuple((number, {"a": [number]}) for number in range(50_000)))]
    left = containers()
    assert dispose(values, lambda: pauses.append(left - containers())) == []
    assert left - containers() >= 100_000
    assert len(pauses) >= 5
    assert pauses[0] < 50_000, "they went in one go"


def test_an_object_that_is_in_use_stays_whole() -> None:
    """So do parts of it that something else has, once it is taken apart."""
    part = Part(3)
    whole = Whole([part, Part(4)])
    values: list[Any] = [whole]
    [stays] = dispose(values)
    assert stays is whole
    assert [each.compute() for each in whole.parts] == [[3], [4]]
    values = [stays]
    del whole, stays
    assert dispose(values) == []
    assert part.compute() == [3]


def test_nothing_that_a_program_shares_is_touched() -> None:
    """Neither modules nor classes nor functions of modules, to which everything leads."""
    before = len(vars(json)), len(globals())
    assert dispose([Whole([json, Part, json.dumps, containers, [json.loads]])]) == []
    assert (len(vars(json)), len(globals())) == before
    assert json.loads(json.dumps([1])) == [1]
