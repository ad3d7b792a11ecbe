"""Inputs of the core as JSON text: what the log keeps."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.engine.activations import (
    Activation,
    CallFailed,
    CallSucceeded,
    Cancel,
    Queue,
    Start,
    TimeOut,
    from_json,
    to_json,
)
from flowgram_core.engine.errors import ProtocolError
from flowgram_core.modeling.json_text import MAX_DEPTH

TEXTS = st.text()
TIMES = st.integers(0, 2**60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
SETTINGS = st.none() | st.dictionaries(TEXTS, VALUES, max_size=3)
INPUTS = st.one_of(
    st.builds(Queue, TIMES, SETTINGS, st.none() | TEXTS),
    st.builds(Start, TIMES, SETTINGS, st.none() | TEXTS),
    st.builds(CallSucceeded, TIMES, TEXTS, st.dictionaries(TEXTS, VALUES, max_size=3)),
    st.builds(CallFailed, TIMES, TEXTS, TEXTS),
    st.builds(Cancel, TIMES, TEXTS),
    st.builds(TimeOut, TIMES, TIMES),
)


@given(INPUTS)
def test_every_input_comes_back(original: Activation) -> None:
    """The same input, of the same kind; and its text is stable."""
    text = to_json(original)
    again = from_json(text)
    assert type(again) is type(original)
    assert again == original
    assert to_json(again) == text


@pytest.mark.parametrize(
    ("original", "text"),
    [
        (Queue(1), '["queue",1]'),
        (Start(2), '["start",2]'),
        (Queue(1, {"a": [1]}), '["queue",1,{"a":[1]}]'),
        (Start(2, {"a": {"b": 0.5}}), '["start",2,{"a":{"b":0.5}}]'),
        (Start(2, {"a": 1}, "00-1"), '["start",2,{"a":1},"00-1"]'),
        (Queue(2, None, "00-1"), '["queue",2,null,"00-1"]'),
        (CallSucceeded(3, "a", {"v": [1, 2.5]}), '["succeeded",3,"a",{"v":[1,2.5]}]'),
        (CallFailed(4, "a", "no"), '["failed",4,"a","no"]'),
        (Cancel(5, ""), '["cancel",5,""]'),
        (TimeOut(6, 7), '["timeout",6,7]'),
    ],
)
def test_the_form_of_the_texts(original: Activation, text: str) -> None:
    """Logs of earlier versions are read: the form does not change."""
    assert to_json(original) == text
    assert from_json(text) == original


def test_outputs_may_be_as_deep_as_any_value() -> None:
    """The list around them does not count."""
    value: Any = "x"
    for _ in range(MAX_DEPTH):
        value = [value]
    original = CallSucceeded(1, "a", {"result": value})
    assert from_json(to_json(original)) == original


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{}",
        "[]",
        "5",
        "null",
        '["other",1]',
        '["start"]',
        '["start",1,2]',
        '["queue",1,null]',
        '["queue",1,{},null]',
        '["start",1,{},7]',
        '["start",1,7,"00-1"]',
        '["start",1,{},{}]',
        '["succeeded"]',
        '["succeeded",1,"a"]',
        '["succeeded",1,"a",[1]]',
        '["succeeded",1,"a",null]',
        '[["start"],1]',
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """Whatever is wrong with it."""
    with pytest.raises(ProtocolError, match="not a recorded activation"):
        from_json(text)
