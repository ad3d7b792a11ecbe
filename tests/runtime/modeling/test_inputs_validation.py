import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.modeling import javascript
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.inputs_validation import (
    MAX_PROBLEM_CHARACTERS,
    MAX_PROBLEMS,
    validate_inputs,
)
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.simple_types import have_types, simple_types
from flowgram_core.modeling.values import UNDEFINED

names = st.sampled_from(
    ["a", "b", "$ref", "enum", "type", "required", "properties", "items", "additionalProperties"]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["object", "array", "map", "string", "integer"]),
    lambda members: st.lists(members, max_size=4) | st.dictionaries(names | st.text(), members, max_size=4),
    max_leaves=20,
)


def problems(declared: Any, inputs: Any) -> list[tuple[str, str]]:
    """All that is wrong, without the words that every text begins with."""
    prefix = "JSON Schema validation failed: "
    found = validate_inputs(declared, inputs)
    assert all(text.startswith(prefix) for _, text in found)
    return [(path, text.removeprefix(prefix)) for path, text in found]


def problem(declared: Any, inputs: Any) -> str | None:
    """What is wrong first of all, which is what FlowGram tells."""
    return next((text for _, text in problems(declared, inputs)), None)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ({"type": "boolean"}, True),
        ({"type": "string"}, ""),
        ({"type": "integer"}, 3),
        ({"type": "integer"}, 3.0),
        ({"type": "integer"}, 10**30),
        ({"type": "integer"}, 1e300),
        ({"type": "number"}, 3),
        ({"type": "number"}, 3.5),
        ({"type": "object"}, {"any": "thing"}),
        ({"type": "array"}, [1, "mixed"]),
        ({"type": "map"}, {"any": "thing"}),
        ({"type": "integer", "enum": [1.0, 2]}, 1),
        ({"type": "string", "enum": []}, "anything"),
        ({"$ref": "#/elsewhere"}, None),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {}),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x", "b": 5}),
        ({"type": "object", "additionalProperties": False}, {"b": 5}),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "x"}},
                "additionalProperties": {"type": "integer"},
            },
            {"a": "", "b": 5},
        ),
    ],
)
def test_valid_inputs(declared: Any, value: Any) -> None:
    """Values of the declared type pass; a whole float is an integer, `false` allows any property."""
    assert validate_inputs(declared, value) == ()


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        ({"type": "boolean"}, 1, "Expected boolean at root, but got: number"),
        ({"type": "boolean"}, None, "Expected boolean at root, but got: object"),
        ({"type": "string"}, True, "Expected string at root, but got: boolean"),
        ({"type": "string"}, [], "Expected string at root, but got: object"),
        ({"type": "integer"}, True, "Expected integer at root, but got: true"),
        ({"type": "integer"}, 1.5, "Expected integer at root, but got: 1.5"),
        ({"type": "integer"}, {"a": [1.0, "é"]}, 'Expected integer at root, but got: {"a":[1,"é"]}'),
        ({"type": "number"}, False, "Expected number at root, but got: false"),
        ({"type": "number"}, "5", 'Expected number at root, but got: "5"'),
        ({"type": "number"}, None, "Expected number at root, but got: null"),
        ({"type": "number"}, float("nan"), "Expected number at root, but got: null"),
        ({"type": "object"}, None, "Expected object at root, but got: null"),
        ({"type": "object"}, [], "Expected object at root, but got: array"),
        ({"type": "object"}, "x", "Expected object at root, but got: string"),
        ({"type": "map"}, None, "Expected map at root, but got: null"),
        ({"type": "map"}, [], "Expected map at root, but got: array"),
        ({"type": "map"}, 5, "Expected map at root, but got: number"),
        ({"type": "array"}, {}, "Expected array at root, but got: object"),
        ({"type": "array"}, None, "Expected array at root, but got: object"),
        ({"type": "date-time"}, "x", 'Expected date-time at root, but got: "x"'),
        (
            {"type": "date-time"},
            "2024-13-01T00:00:00Z",
            'Expected date-time at root, but got: "2024-13-01T00:00:00Z"',
        ),
        ({"type": "date-time"}, 5, "Expected date-time at root, but got: 5"),
        ({"type": None}, "x", 'Unknown type "null" at root'),
        ({"type": ["string", "null"]}, "x", 'Unknown type "string,null" at root'),
        ({}, {}, 'Unknown type "undefined" at root'),
    ],
)
def test_a_value_of_another_type(declared: Any, value: Any, text: str) -> None:
    """The text says what was expected and found, in JavaScript's words for types and values."""
    assert problem(declared, value) == text


@pytest.mark.parametrize(
    ("enum", "value", "shown"),
    [
        ([1, "a", None, True], False, "1, a, , true, but got: false"),
        ([1], True, "1, but got: true"),
        ([True], 1, "true, but got: 1"),
        (["1"], 1, "1, but got: 1"),
        ([2.0, 1e21, [1, None], {}], "x", '2, 1e+21, 1,, [object Object], but got: "x"'),
        ([[1]], [1], "1, but got: [1]"),
    ],
)
def test_a_value_outside_an_enumeration(enum: list[Any], value: Any, shown: str) -> None:
    """Elements are compared strictly, and objects and arrays never equal each other."""
    assert problem({"type": "string", "enum": enum}, value) == f"Value at root must be one of: {shown}"


@given(st.lists(json_values), json_values)
def test_an_enumeration_is_searched_as_javascript_does(enum: list[Any], value: Any) -> None:
    """Whatever is declared, and whether the value came from there."""
    for given_value in (value, *enum[:3]):
        problem_found = any(
            "must be one of" in text for _, text in validate_inputs({"enum": enum}, given_value)
        )
        assert problem_found == (bool(enum) and not javascript.includes(enum, given_value, Meter()))


class Compared(int):
    """A number that counts how often it is compared."""

    times = 0

    def __eq__(self, other: object) -> bool:
        Compared.times += 1
        return int(self) == other

    __hash__ = int.__hash__


def test_long_enumerations_are_not_searched_for_each_value() -> None:
    """Nor are the names of required properties for each property."""
    numbers = [Compared(number) for number in range(1_000)]
    items = {"type": "array", "items": {"type": "integer", "enum": numbers}}
    assert validate_inputs(items, list(range(1_000))) == ()
    assert Compared.times < 10_000


def test_the_path_of_what_is_wrong() -> None:
    """The path leads through properties, items and additional properties; the root is not named on the way."""
    declared = {
        "type": "object",
        "properties": {
            "a": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"b": {"type": "map", "additionalProperties": {"type": "integer"}}},
                },
            }
        },
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    }
    assert (
        problem(declared, {"a": [{}, {"b": {"x": 1, "y": "no"}}]})
        == 'Expected integer at a[1].b.y, but got: "no"'
    )
    assert problem(declared, {"other": ["x", 1]}) == "Expected string at other[1], but got: number"
    assert (
        problem({"type": "array", "items": {"type": "string"}}, [1])
        == "Expected string at root[0], but got: number"
    )


def test_required_properties() -> None:
    """A required property must be there, declared or not; null counts as there."""
    declared = {
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"$ref": "x"}, "c": {"type": "string"}},
    }
    assert problem(declared, {"a": None}) == 'Missing required property "b" at root'
    assert problem(declared, {"a": None, "b": None}) is None
    assert (
        problem({"type": "object", "properties": {"o": declared}}, {"o": {}})
        == 'Missing required property "a" at o'
    )


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (UNDEFINED, "Validation error: Cannot read properties of undefined (reading '$ref')"),
        (None, "Validation error: Cannot read properties of null (reading '$ref')"),
        ("object", 'Unknown type "undefined" at root'),
        ([], 'Unknown type "undefined" at root'),
        (
            {"type": "object", "properties": {"a": None}},
            "Validation error: Cannot read properties of null (reading '$ref')",
        ),
        ({"type": "object", "properties": 5, "additionalProperties": True}, 'Unknown type "undefined" at a'),
        ({"type": "object", "required": {"length": 1}}, "Validation error: schema.required is not iterable"),
        (
            {"type": "object", "required": 5, "properties": {"a": {}}},
            "Validation error: schema.required?.includes is not a function",
        ),
        ({"type": "object", "required": "xy"}, 'Missing required property "x" at root'),
        ({"enum": {"length": 1}}, "Validation error: schema.enum.includes is not a function"),
        ({"enum": "abc"}, "Validation error: schema.enum.join is not a function"),
    ],
)
def test_declarations_that_make_no_sense(declared: Any, text: str) -> None:
    """What trips FlowGram's validator is reported in the words of its TypeError."""
    assert problem(declared, {"a": 1}) == text


def test_all_problems_of_inputs_are_reported_in_order() -> None:
    """What is missing comes before what is wrong; each problem names its place, below `inputs`."""
    declared = {
        "type": "object",
        "required": ["x", "x", "a"],
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string"}}}},
            "root": {"type": "map", "additionalProperties": {"type": "integer"}},
            "x": {"type": "string"},
            "y": None,
        },
        "additionalProperties": {"type": "boolean"},
    }
    inputs = {"z": 1, "y": 2, "root": {"k": "no"}, "b": [{"c": 1}, 2, {}], "a": "no"}
    assert problems(declared, inputs) == [
        ("inputs.x", 'Missing required property "x" at root'),
        ("inputs.a", 'Expected integer at a, but got: "no"'),
        ("inputs.b[0].c", "Expected string at b[0].c, but got: number"),
        ("inputs.b[1]", "Expected object at b[1], but got: number"),
        ("inputs.root.k", 'Expected integer at k, but got: "no"'),
        ("inputs.y", "Validation error: Cannot read properties of null (reading '$ref')"),
        ("inputs.z", "Expected boolean at z, but got: number"),
    ]
    assert problems({"type": "string"}, inputs) == [("inputs", "Expected string at root, but got: object")]


def test_required_may_be_a_text() -> None:
    """JavaScript finds its letters and what it holds, and a property is missing once."""
    declared = {"type": "object", "required": "xyz", "properties": {"xy": {}, "z": {}, "a": {}}}
    assert [path for path, _ in problems(declared, {"x": 1})] == ["inputs.y", "inputs.z", "inputs.xy"]


def test_of_very_many_problems_the_first_are_reported() -> None:
    """And that there are more; as many as may be reported are reported without."""
    declared = {"type": "array", "items": {"type": "string"}}
    received = problems(declared, [1] * (MAX_PROBLEMS + 1))
    assert len(received) == MAX_PROBLEMS + 1
    assert received[-2][0] == f"inputs[{MAX_PROBLEMS - 1}]"
    assert received[-1] == ("inputs", f"only the first {MAX_PROBLEMS} problems are listed")
    assert [path for path, _ in problems(declared, [1] * MAX_PROBLEMS)][-1] == f"inputs[{MAX_PROBLEMS - 1}]"


def test_long_texts_end_the_list_of_problems() -> None:
    """Each problem repeats the enumeration: a long one must not be repeated for each of many values."""
    declared = {"type": "array", "items": {"type": "string", "enum": ["x" * (MAX_PROBLEM_CHARACTERS // 3)]}}
    received = problems(declared, ["y"] * 100)
    assert [path for path, _ in received] == ["inputs[0]", "inputs[1]", "inputs[2]", "inputs"]
    assert received[-1][1] == "only the first 3 problems are listed"


@given(json_values, json_values)
def test_any_declaration_meets_any_inputs(declared: Any, inputs: Any) -> None:
    """Whatever is declared and handed in, there is an answer, in valid Unicode, and no problem is reported twice."""
    found = validate_inputs(declared, inputs)
    assert all(path.encode() and text.encode() for path, text in found)
    assert len(set(found)) == len(found)


def test_half_characters_do_not_get_into_a_text() -> None:
    """Names from the inputs may be no Unicode; path and text still are."""
    assert validate_inputs({"type": "object", "required": ["\ud800"]}, {}) == (
        Problem("inputs.\ufffd", 'JSON Schema validation failed: Missing required property "\ufffd" at root'),
    )


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "x", [1, "x"], {"a": None}])
def test_a_property_of_any_type(value: Any) -> None:
    """Where a declaration names no type, or `unknown`, every value passes; an enumeration still holds."""
    properties = {"a": {}, "b": {"type": "unknown"}, "c": {"type": "array", "items": {}}}
    declared = {"type": "object", "properties": properties}
    assert validate_inputs(declared, {"a": value, "b": value, "c": [value]}) == ()
    declared = {"type": "object", "properties": {"a": {"enum": ["only"]}}}
    assert len(validate_inputs(declared, {"a": value})) == 1


@pytest.mark.parametrize("value", ["2024-05-06T07:08:09", "2024-05-06T07:08:09Z", "2024-05-06T07:08:09.123Z"])
def test_a_date_time(value: str) -> None:
    """A text that is a date-time passes where one is declared."""
    assert (
        validate_inputs({"type": "object", "properties": {"at": {"type": "date-time"}}}, {"at": value}) == ()
    )


simple_values = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text() | st.just([])
)
simple_declarations = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["object", "object", "object", "map"]),
        "properties": st.dictionaries(
            st.sampled_from("abc"),
            st.fixed_dictionaries(
                {"type": st.sampled_from(["string", "boolean", "integer", "number", "array"])},
                optional={"enum": st.lists(simple_values), "title": st.text(), "$ref": st.text()},
            ),
        ),
    },
    optional={
        "required": st.lists(st.sampled_from("abcd")) | st.none(),
        "additionalProperties": st.booleans() | st.just({"type": "string"}),
        "enum": st.lists(simple_values),
    },
)


@given(simple_declarations, st.dictionaries(st.sampled_from("abcd"), simple_values))
def test_inputs_of_simple_types_have_no_problems(declared: Any, inputs: dict[str, Any]) -> None:
    """The quick look says yes to nothing that the rules find a problem with."""
    types = simple_types(declared)
    if types is not None and have_types(inputs, types):
        assert not validate_inputs(declared, inputs)


@pytest.mark.parametrize(
    ("of_property", "value"),
    [("string", ""), ("boolean", False), ("integer", 3), ("number", 3), ("number", 3.5)],
)
def test_simple_types_are_known(of_property: str, value: Any) -> None:
    """What most workflows declare needs no more than the quick look."""
    declared = {"type": "object", "properties": {"x": {"type": of_property, "title": "X"}}, "required": ["x"]}
    types = simple_types(declared)
    assert types is not None
    assert have_types({"x": value, "more": None}, types)
    assert not have_types({"x": None}, types)
    assert not have_types({}, types)


any_values = simple_values | st.just(math.nan) | st.integers(10**400, 10**400 + 1)
members = st.dictionaries(st.sampled_from("abcd"), any_values)
one_kind = st.sampled_from(
    [st.integers(), st.floats(), st.text(), st.booleans(), any_values, members]
).flatmap(lambda values: st.lists(values, max_size=6))
types_of_items = st.sampled_from(["string", "boolean", "integer", "number"]).map(lambda name: {"type": name})


@given(simple_declarations | types_of_items, one_kind)
def test_arrays_of_simple_items_have_the_problems_of_their_items(items: Any, values: list[Any]) -> None:
    """What is looked at as a whole has the problems that are found one by one: an empty enumeration allows all, but is no simple type."""
    one_by_one = {**items, "enum": items.get("enum", [])}
    found = validate_inputs({"type": "array", "items": items}, values)
    assert found == validate_inputs({"type": "array", "items": one_by_one}, values)


@given(types_of_items, one_kind)
def test_maps_of_simple_members_have_the_problems_of_their_members(members: Any, values: list[Any]) -> None:
    """So it is with the members of a map."""
    named = {str(index): value for index, value in enumerate(values)}
    found = validate_inputs({"type": "map", "additionalProperties": members}, named)
    assert found == validate_inputs({"type": "map", "additionalProperties": {**members, "enum": []}}, named)


@pytest.mark.parametrize("index", [0, 16_383, 16_384, 39_999])
@pytest.mark.parametrize("wrong", [True, math.nan, "1", None])
def test_one_wrong_item_of_many_is_found(index: int, wrong: Any) -> None:
    """In long arrays, which are looked at piece by piece, the place of what is wrong is told."""
    values: list[Any] = [1, 2.5] * 20_000
    assert problems({"type": "array", "items": {"type": "number"}}, values) == []
    values[index] = wrong
    (found,) = problems({"type": "array", "items": {"type": "number"}}, values)
    assert found[0] == f"inputs[{index}]"
