import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.texts import texts

from flowgram_core.modeling.errors import ModelingError
from flowgram_core.modeling.json_text import MAX_DEPTH, JSONTextError, dumps, loads, to_well_formed

LONE_SURROGATE = "\ud83d"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda members: st.lists(members, max_size=4) | st.dictionaries(texts, members, max_size=4),
    max_leaves=20,
)

TOO_LARGE = "a number is larger than 1.7976931348623157e308, the largest that is read"


@given(json_values)
@example([10**30, 1.5, {"a": LONE_SURROGATE}])
@example({LONE_SURROGATE: -(2**63) - 1})
@example("1" * 40)
@example(6.055207192532254e16)
@example(9007199254740994.0)
def test_what_is_written_is_read_again(value: Any) -> None:
    """Every JSON value survives being written and read, and its text is valid Unicode."""
    text = dumps(value)
    text.encode()
    assert loads(text) == value
    assert loads(text.encode()) == value
    assert json.loads(text) == value


@given(json_values)
@example(
    [1.0, -0.0, 1e-7, -1e-5, 2.0**53, 123456789012345680000.0, 1e21, 1.5, "1.0", None, {"a": [True, 3.0]}]
)
def test_both_ways_to_write_a_value_give_the_same(value: Any) -> None:
    """A member that the fast way cannot write changes nothing for the others."""
    assert dumps([value, 2**70]) == f"{dumps([value])[:-1]},{2**70}]"


@given(json_values)
def test_a_text_is_read_as_the_standard_library_reads_it(value: Any) -> None:
    """Reading agrees with Python's own reader in values and in types."""
    text = json.dumps(value)
    assert repr(loads(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    "number",
    [2**63, 2**64, 2**64 - 1, -(2**63) - 1, 10**19, 10**308, 12345678901234567890123],
)
def test_integers_of_any_size_are_exact(number: int) -> None:
    """An integer beyond 64 bits is read and written digit by digit, wherever it stands."""
    value = loads(f'{{"a": [{number}, 0.1234567890123456789]}}')
    assert isinstance(value, dict)
    assert value["a"] == [number, 0.1234567890123456789]
    assert isinstance(value["a"][0], int)
    assert dumps([number]) == f"[{number}]"


def test_the_last_of_equal_names_wins() -> None:
    """As in JSON.parse, a name that comes twice keeps its first place and its last value."""
    assert list(dict.items(loads('{"a": 1, "b": 2, "a": 3}'))) == [("a", 3), ("b", 2)]  # type: ignore[arg-type]  # it is a dict


@pytest.mark.parametrize("text", [r'"\ud83d"', r'"\ude00\ud83d"', f'"{LONE_SURROGATE}"'])
def test_lone_surrogates_are_read(text: str) -> None:
    """Escapes that name half a character are accepted, as JavaScript accepts them."""
    assert loads(text) == json.loads(text)


def test_halves_of_a_character_are_joined() -> None:
    """A pair of surrogate escapes is one character."""
    assert loads(r'"\ud83d\ude00"') == "😀"


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("", "Expecting value", (1, 1)),
        ("\ufeff1", "Expecting value", (1, 1)),
        ("{'a': 1}", "Expecting property name enclosed in double quotes", (1, 2)),
        ('{"a": 1,}', "Expecting property name enclosed in double quotes", (1, 9)),
        ("[1 2]", "Expecting ',' delimiter", (1, 4)),
        ("01", "Extra data", (1, 2)),
        ('[\n"abc', "Unterminated string starting at", (2, 1)),
        ('["' + "[" * 300, "Unterminated string starting at", (1, 2)),
        # Slow enough to be noticed, should every quote be taken for the begin of a string.
        ('"' + '\\"' * 500_000, "Unterminated string starting at", (1, 1)),
        ('"\t"', "Invalid control character at", (1, 2)),
        ("NaN", "NaN is no JSON value", (1, 1)),
        ('[\n"NaN", -Infinity]', "-Infinity is no JSON value", (2, 8)),
        ('["1e999", 1e999]', TOO_LARGE, (1, 11)),
        ("9" * 309, TOO_LARGE, (1, 1)),
        ("[1, 1e999null]", TOO_LARGE, (1, 5)),
        ("[1, NaNull]", "NaN is no JSON value", (1, 5)),
        ("-" + "9" * 10_000, TOO_LARGE, (1, 1)),
        (b'{"a":\n"\xff"}', "Text is not valid UTF-8", (2, 2)),
    ],
)
def test_an_error_is_reported_with_its_position(
    text: str | bytes, reason: str, position: tuple[int, int]
) -> None:
    """A text that is no JSON gives an error for humans, with line and column from 1."""
    with pytest.raises(JSONTextError) as caught:
        loads(text)
    assert (caught.value.reason, caught.value.position) == (reason, position)
    assert str(caught.value) == f"{reason} (line {position[0]}, column {position[1]})"
    assert isinstance(caught.value, ModelingError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("opening", "closing", "width"), [("[", "]", 1), ('{"a":', "}", 5)])
@pytest.mark.parametrize("leaf", ["1", str(10**30)])
def test_nesting_has_a_limit(opening: str, closing: str, width: int, leaf: str) -> None:
    """Up to the limit all is read, beyond it nothing, on the fast way and on the exact one."""
    loads(opening * MAX_DEPTH + leaf + closing * MAX_DEPTH)
    for depth in (MAX_DEPTH + 1, 900, 10_000, 200_000):
        with pytest.raises(JSONTextError, match=f"Nested too deeply: more than {MAX_DEPTH} levels") as caught:
            loads(opening * depth + leaf + closing * depth)
        assert caught.value.position == (1, MAX_DEPTH * width + 1)


def test_brackets_side_by_side_and_in_texts_are_not_nested() -> None:
    """Only real nesting counts."""
    value: list[Any] = [[[]] for _ in range(MAX_DEPTH)] + ["[{" * MAX_DEPTH, '"[\\"' * MAX_DEPTH]
    assert loads(json.dumps(value)) == value
    assert loads(json.dumps([*value, 10**30])) == [*value, 10**30]


def test_the_limit_can_be_chosen() -> None:
    """A caller may ask for less nesting."""
    assert loads("[[1]]", max_depth=2) == [[1]]
    with pytest.raises(JSONTextError):
        loads("[[1]]", max_depth=1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, False, None, {}, []]}, '{"b":1,"a":[true,false,null,{},[]]}'),
        ("é\u2028😀", '"é\u2028😀"'),
        ([LONE_SURROGATE, "é", '"\n'], '["\\ud83d","é","\\"\\n"]'),
        ([math.nan, math.inf, -math.inf], "[null,null,null]"),
        ([math.nan, 10**30, 2.5], f"[null,{10**30},2.5]"),
        ([3.0, -0.0, 0.0, 1.05], "[3,0,0,1.05]"),
        ([1e16, 1e21, -1.5e300], "[10000000000000000,1e+21,-1.5e+300]"),
        ([2.0, 6.055207192532254e16], "[2,6.055207192532254e+16]"),
        ([1e-4, 1e-5, 1.5e-6, 1e-7, 0.1], "[0.0001,0.00001,0.0000015,1e-7,0.1]"),
        ({"a": {}, "b": [], "c": {"d": [1.0]}}, '{"a":{},"b":[],"c":{"d":[1]}}'),
    ],
)
def test_values_are_written_as_javascript_writes_them(value: Any, text: str) -> None:
    """The text is that of JSON.stringify, but for large numbers, which must be read as the same ones again."""
    assert dumps(value) == text


def test_writing_has_no_limit_of_nesting() -> None:
    """Values that were built deeper than a text may be are written all the same."""
    value: Any = 1
    for _ in range(5000):
        value = [value]
    assert dumps(value) == "[" * 5000 + "1" + "]" * 5000


@pytest.mark.parametrize("value", [object(), {1: 2}, [{"a": {1, 2}}], b"bytes", 1j])
def test_what_is_no_json_is_not_written(value: Any) -> None:
    """A value of another kind is the caller's mistake."""
    with pytest.raises(TypeError):
        dumps(value)


def test_a_text_is_made_well_formed() -> None:
    """Half characters become replacement characters; everything else stays."""
    assert to_well_formed(f"a{LONE_SURROGATE}é😀") == "a\ufffdé😀"


def test_a_value_that_contains_itself_is_not_written() -> None:
    """A circular value is refused; one that merely occurs twice is written twice."""
    twice = [2**70]
    assert dumps([twice, twice]) == "[[1180591620717411303424],[1180591620717411303424]]"
    circular: list[Any] = []
    circular.append(circular)
    with pytest.raises(TypeError, match="contains itself"):
        dumps(circular)
