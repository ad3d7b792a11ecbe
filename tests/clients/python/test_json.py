import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.texts import texts, texts_with_surrogates

from flowgram_client import InvalidValueError
from flowgram_client._json import dumps, loads

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), values))
def test_what_goes_out_comes_back(value: dict[str, object]) -> None:
    """Any JSON object survives the way out and back."""
    assert loads(dumps(value, "inputs")) == value


@given(st.dictionaries(texts, texts_with_surrogates))
@example({"": "\ud800"})
def test_text_is_always_utf8(value: dict[str, str]) -> None:
    """Lone surrogates are sent as escapes, so that the text is valid UTF-8."""
    text = dumps(value, "inputs")
    assert json.loads(text.encode().decode()) == value


def test_big_integers_are_exact() -> None:
    """Integers keep all their digits in both directions, even beyond Python's limit for untrusted text."""
    assert loads(dumps({"n": 2**64 + 1}, "inputs")) == {"n": 2**64 + 1}
    assert loads('{"n": 1' + "0" * 5000 + "}") == {"n": 10**5000}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": [{"b": 1}, {"b": math.nan}]}, "inputs.a[1].b: nan is not a JSON number"),
        ({"a": -math.inf}, "inputs.a: -inf is not a JSON number"),
        ({"a": {1, 2}}, "inputs.a: set is not a JSON value"),
        ({"a": b"x"}, "inputs.a: bytes is not a JSON value"),
        ({"a": {(1, 2): 3}}, "inputs.a: the key (1, 2) is not a string"),
        ([1], "inputs: expected an object (a dict) or JSON text, not list"),
        ("\ud800", "inputs: the text holds a lone surrogate, which is not valid Unicode"),
    ],
)
def test_what_is_no_json_is_refused_with_its_position(value: object, said: str) -> None:
    """Each value that JSON cannot hold is refused, and the text names the place."""
    with pytest.raises(InvalidValueError) as caught:
        dumps(value, "inputs")  # type: ignore[arg-type]  # what is under test
    assert str(caught.value) == said


def test_a_value_that_contains_itself_is_refused() -> None:
    """A circular value is an error that names the place, not a stack overflow."""
    value: dict[str, object] = {}
    value["again"] = [value]
    with pytest.raises(InvalidValueError, match=r"inputs.again\[0\]: contains itself"):
        dumps(value, "inputs")


def test_nesting_beyond_the_interpreter_is_refused() -> None:
    """A value nested too deeply to be written is a clear error."""
    value: dict[str, object] = {}
    for _ in range(100_000):
        value = {"a": value}
    with pytest.raises(InvalidValueError, match="inputs: nested too deeply"):
        dumps(value, "inputs")


def test_text_goes_as_it_is() -> None:
    """JSON text is not parsed, so that the server sees exactly what the caller has."""
    assert dumps('{"a" : 1.0', "schema") == '{"a" : 1.0'


def test_no_text_is_no_object() -> None:
    """An empty field is None, which is not the empty object."""
    assert loads("") is None
    assert loads("{}") == {}
