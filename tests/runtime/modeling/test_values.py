"""Values: their types, and copies of them."""

import json
import math
from typing import Any

import pytest
from support.node import evaluate, requires_node

from flowgram_core.modeling.values import UNDEFINED, copied, type_of, types_equal


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        (UNDEFINED, "null"),
        ("", "string"),
        ("text", "string"),
        (True, "boolean"),
        (False, "boolean"),
        (0, "integer"),
        (-5, "integer"),
        (1.0, "integer"),
        (1e21, "integer"),
        (10**30, "integer"),
        (0.5, "number"),
        (float("inf"), "number"),
        ([], "array"),
        ([1], "array"),
        ({}, "object"),
        ({"a": 1}, "object"),
    ],
)
def test_the_type_of_a_value(value: Any, expected: str) -> None:
    """Null, text, boolean, integer if it has no fraction (1.0 is one), number, array, object."""
    assert type_of(value) == expected


DATES = [
    "2024-05-06T07:08:09",
    "2024-05-06T07:08:09Z",
    "2024-05-06T07:08:09.123",
    "2024-05-06T07:08:09.123Z",
    "0000-01-01T00:00:00Z",
    "2023-02-31T00:00:00Z",
    "2024-01-01T24:00:00",
    "2024-01-01T24:00:00.000Z",
]
NO_DATES = [
    "2024-05-06",
    "2024-05-06T07:08",
    "2024-05-06 07:08:09",
    "2024-05-06T07:08:09.1Z",
    "2024-05-06T07:08:09.1234Z",
    "2024-05-06T07:08:09+02:00",
    "2024-05-06t07:08:09z",
    "2024-05-06T07:08:09Z ",
    "2024-05-06T07:08:09\n",
    "\u0662\u0660\u0662\u0664-05-06T07:08:09",
    "2024-00-01T00:00:00",
    "2024-13-01T00:00:00",
    "2024-01-00T00:00:00",
    "2024-01-32T00:00:00",
    "2024-01-01T25:00:00",
    "2024-01-01T24:00:01",
    "2024-01-01T24:00:00.001",
    "2024-01-01T23:60:00",
    "2024-01-01T23:59:60",
]


@pytest.mark.parametrize("text", DATES)
def test_a_valid_iso_8601_text_is_a_date_time(text: str) -> None:
    """`YYYY-MM-DDTHH:MM:SS[.mmm][Z]` is a date-time if JavaScript's Date finds it valid."""
    assert type_of(text) == "date-time"


@pytest.mark.parametrize("text", NO_DATES)
def test_any_other_text_is_a_string(text: str) -> None:
    """Other formats, and days and times that do not exist, are no date-times."""
    assert type_of(text) == "string"


@requires_node
def test_dates_are_those_of_javascript() -> None:
    """FlowGram's pattern and JavaScript's Date agree with type_of on every table entry and on every month, day and hour."""
    texts = DATES + NO_DATES
    texts += [f"2023-{month:02}-{day:02}T00:00:00Z" for month in range(15) for day in range(34)]
    texts += [f"2024-02-29T{hour:02}:{minute:02}:00" for hour in range(27) for minute in (0, 1, 59, 60)]
    pattern = r"/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z?$/"
    found = evaluate(f"(text) => {pattern}.test(text) && !isNaN(new Date(text).getTime())", texts)
    assert [type_of(text) == "date-time" for text in texts] == found


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("integer", "number", True),
        ("number", "integer", True),
        ("string", "string", True),
        ("null", "null", True),
        (None, None, True),
        ("map", "object", False),
        ("string", "date-time", False),
        ("integer", "boolean", False),
        ("string", None, False),
    ],
)
def test_integer_and_number_are_interchangeable(left: str | None, right: str | None, expected: bool) -> None:
    """Otherwise types must be the same: map is not object, date-time is not string."""
    assert types_equal(left, right) is expected


def test_undefined_is_false_and_says_its_name() -> None:
    """UNDEFINED is one value, false as in JavaScript, and no JSON value."""
    assert not UNDEFINED
    assert repr(UNDEFINED) == "UNDEFINED"
    with pytest.raises(TypeError):
        json.dumps(UNDEFINED)


def test_a_copy_shares_nothing_with_the_original() -> None:
    """However deep it is; what cannot be changed is the same."""
    original: dict[str, Any] = {"a": [1, {"b": "text"}], "c": 1.0, "d": None, "e": True}
    copy = copied(original)
    assert copy == original
    assert repr(copy) == repr(original)
    copy["a"][1]["b"] = "other"
    copy["a"].append(2)
    copy["f"] = 1
    assert original == {"a": [1, {"b": "text"}], "c": 1.0, "d": None, "e": True}
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert copied(deep) is not deep


@pytest.mark.parametrize("value", [UNDEFINED, None, "text", 5, 1.5, False, 2**1023])
def test_a_copy_of_what_has_no_parts(value: Any) -> None:
    """Is the same."""
    assert copied(value) is value


def test_a_copy_takes_no_more_memory_than_the_original() -> None:
    """What is one object there is one object in the copy: this value has 2**100 texts, and that one contains itself."""
    value: list[Any] = ["x"]
    for _ in range(100):
        value = [value, value]
    copy = copied(value)
    assert copy[0] is copy[1]
    assert copy[0] is not value[0]
    endless: list[Any] = []
    endless.append(endless)
    copy = copied(endless)
    assert copy is copy[0] is not endless


def test_a_copy_is_what_json_would_make_of_it() -> None:
    """Of plain lists and dicts, with null for numbers that JSON does not have."""

    class Fancy(dict[str, Any]):
        pass

    copy = copied([Fancy(a=(1, math.nan)), [math.inf, -math.inf]])
    assert copy == [{"a": [1, None]}, [None, None]]
    assert type(copy[0]) is dict


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({1, 2}, "set is no JSON value"),
        ({"a": [b"x"]}, "bytes is no JSON value"),
        ({"a": UNDEFINED}, "Undefined is no JSON value"),
        ([{1: 2}], "a member of a JSON object has a name of type int"),
        ({math.nan: []}, "a member of a JSON object has a name of type float"),
        ([10**5000], "a number is beyond the range of a double"),
    ],
)
def test_what_is_no_json_cannot_be_copied(value: Any, text: str) -> None:
    """The error says what it was, and nothing of its content."""
    with pytest.raises(TypeError, match=f"^{text}$"):
        copied(value)
