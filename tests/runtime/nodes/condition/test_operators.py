"""The rules of conditions: when an operator holds for a left and a right value."""

import math
from typing import Any

import pytest
from support.conditions import LEFT_TYPES, condition, constant, decide
from support.pure_nodes import run_pure
from support.scopes import Variables

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling.errors import WorkLimitExceeded
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import UNDEFINED, Variable
from flowgram_core.nodes.condition.arrays import contains_all, deep_equal
from flowgram_core.nodes.condition.node import ConditionNode


def strings(left: Any, operator: str, right: Any) -> bool:
    return decide(Variable(left, "string"), operator, Variable(right, "string"))


@pytest.mark.parametrize(
    ("operator", "right"), [("lt", 1), ("lte", 1), ("gt", 1), ("gte", 1), ("in", "text")]
)
def test_an_array_whose_text_would_be_endless_is_not_compared(operator: str, right: Any) -> None:
    """It was put into itself again and again, under a declaration that calls it a number."""
    value: Any = ["x"]
    for _ in range(100):
        value = [value, value]
    with pytest.raises(NodeError, match="Condition compares an array that is too large"):
        decide(Variable(value, "number"), operator, Variable(right, "number" if right == 1 else "array"))


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        ("a", "eq", "a", True),
        ("a", "eq", "A", False),
        ("a", "neq", "b", True),
        ("abc", "contains", "b", True),
        ("abc", "contains", "", True),
        ("abc", "contains", "x", False),
        ("abc", "not_contains", "x", True),
        ("", "contains", "", True),
    ],
)
def test_texts(left: str, operator: str, right: str, expected: bool) -> None:
    """Equality and parts of texts."""
    assert strings(left, operator, right) is expected


@pytest.mark.parametrize("unset", [None, UNDEFINED])
def test_unset_texts(unset: Any) -> None:
    """An unset text is unequal to all but another one, and contains nothing."""
    assert strings(unset, "neq", "a")
    assert not strings(unset, "eq", "a")
    assert strings(unset, "eq", UNDEFINED)
    assert not strings(unset, "contains", "a")
    assert not strings(unset, "contains", "")
    assert strings(unset, "not_contains", "a")
    assert strings("a null b", "contains", unset)
    assert not strings("a", "contains", unset)


def numbers(left: Any, operator: str, right: Any, kind: str = "number") -> bool:
    return decide(Variable(left, kind), operator, Variable(right, "number"))


@pytest.mark.parametrize("kind", ["integer", "number"])
@pytest.mark.parametrize(
    ("left", "right"), [(1, 2), (1.5, 2), (-1, 0.5), (1, 1), (1, 1.0), (2, 1), (2**53, 2**53 + 1), (0, -0.0)]
)
def test_numbers(left: float, right: float, kind: str) -> None:
    """Order and equality, exact beyond 2**53."""
    assert numbers(left, "eq", right, kind) is (left == right)
    assert numbers(left, "neq", right, kind) is (left != right)
    assert numbers(left, "lt", right, kind) is (left < right)
    assert numbers(left, "lte", right, kind) is (left <= right)
    assert numbers(left, "gt", right, kind) is (left > right)
    assert numbers(left, "gte", right, kind) is (left >= right)


@pytest.mark.parametrize("unset", [None, UNDEFINED])
def test_unset_numbers(unset: Any) -> None:
    """As in JavaScript: null counts as 0 in `<` and `>=`, but does not equal it."""
    assert numbers(unset, "lt", 1)
    assert numbers(unset, "gte", 0)
    assert numbers(unset, "lte", 0)
    assert numbers(unset, "gt", -1)
    assert not numbers(unset, "gt", 0)
    assert not numbers(unset, "eq", 0)
    assert numbers(unset, "neq", 0)
    assert numbers(1, "gt", unset)
    assert numbers(unset, "eq", None)


@pytest.mark.parametrize(
    ("left", "operator", "right", "expected"),
    [
        ("10", "gt", 9, True),
        ("10", "lt", 9, False),
        ("10", "eq", 10, False),
        ("x", "lt", 1, False),
        ("x", "gte", 1, False),
        ("x", "neq", 1, True),
        (True, "gt", 0, True),
        (True, "eq", 1, False),
        ("10", "lt", "9", True),
        ([], "lte", 0, True),
        ({}, "lte", 0, False),
        (math.nan, "gte", 0, False),
    ],
)
def test_numbers_that_are_none(left: Any, operator: str, right: Any, expected: bool) -> None:
    """Types are believed, not checked: values compare as JavaScript compares them."""
    assert numbers(left, operator, right) is expected


@pytest.mark.parametrize(
    ("value", "true", "false"), [(True, 1, 0), (False, 0, 1), (None, 0, 0), (1, 0, 0), ("", 0, 0)]
)
def test_booleans(value: Any, true: int, false: int) -> None:
    """Only true is true and only false is false."""
    left = Variable(value, "boolean")
    assert decide(left, "is_true") is bool(true)
    assert decide(left, "is_false") is bool(false)
    assert decide(left, "eq", Variable(value=True, type="boolean")) is bool(true)
    assert decide(left, "neq", Variable(value=True, type="boolean")) is not bool(true)


@pytest.mark.parametrize(
    ("kind", "value", "array", "expected"),
    [
        ("string", "a", ["a", "b"], True),
        ("string", "1", [1], False),
        ("integer", 1, [0, 1.0], True),
        ("integer", 1, ["1", True, [1]], False),
        ("number", 1.5, [1.5], True),
        ("boolean", True, [1, "true"], False),
        ("boolean", False, [False], True),
        ("string", None, [None], True),
        ("string", "a", [], False),
    ],
)
def test_in_compares_elements_strictly(kind: str, value: Any, array: list[Any], expected: bool) -> None:
    """Of what is equal in a looser sense, nothing counts."""
    right = Variable(array, "array")
    assert decide(Variable(value, kind), "in", right) is expected
    assert decide(Variable(value, kind), "nin", right) is not expected


def test_in_what_is_no_array() -> None:
    """A constant for an array that is no JSON stays a text, and texts include texts; anything else fails the node."""
    scope = Variables({"v.left": "b"})
    data = {"conditions": [condition("in", constant("abc"))]}
    assert run_pure(ConditionNode(), scope, data).branch == "yes"
    for value in (None, UNDEFINED, 5, {}):
        with pytest.raises(NodeError, match="includes"):
            decide(Variable("b", "string"), "in", Variable(value, "array"))


def test_contains_in_what_is_no_text() -> None:
    """An array under the type string includes its elements; anything else fails the node."""
    assert decide(Variable(["a"], "string"), "contains", Variable("a", "string"))
    assert not decide(Variable(["ab"], "string"), "contains", Variable("a", "string"))
    with pytest.raises(NodeError, match=r"leftValue\.includes is not a function"):
        strings(5, "contains", "5")


def dates(left: Any, operator: str, right: Any) -> bool:
    return decide(Variable(left, "date-time"), operator, Variable(right, "date-time"))


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z", 0),
        ("2024-05-06T07:08:09", "2024-05-06T07:08:09.000Z", 0),
        ("2024-05-06T07:08:09.001Z", "2024-05-06T07:08:09Z", 1),
        ("2024-05-05T24:00:00Z", "2024-05-06T00:00:00Z", 0),
        ("2023-02-29T00:00:00Z", "2023-03-01T00:00:00Z", 0),
        ("0000-12-31T00:00:00Z", "0001-01-01T00:00:00Z", -1),
        ("2024-05-06T07:08:09Z", "2024-05-06", 1),
        ("2024-05-06T02:00:00Z", "2024-05-06T04:00:00+02:00", 0),
        ("2024-05-06T07:08:09Z", "2025", -1),
        (None, "1970-01-01T00:00:00Z", 0),
        (UNDEFINED, "1970-01-01T00:00:00.001Z", -1),
        ("1970-01-01T00:00:00.005Z", 5, 0),
    ],
)
def test_date_times_compare_as_instants(left: Any, right: Any, order: int) -> None:
    """Without `Z` in UTC; what JavaScript's Date takes for a date counts as one, an unset one as the epoch."""
    assert dates(left, "eq", right) is (order == 0)
    assert dates(left, "neq", right) is (order != 0)
    assert dates(left, "lt", right) is (order < 0)
    assert dates(left, "lte", right) is (order <= 0)
    assert dates(left, "gt", right) is (order > 0)
    assert dates(left, "gte", right) is (order >= 0)


def test_what_is_no_date_differs_from_all() -> None:
    """As NaN does: unequal even to itself, neither before nor after."""
    assert dates("x", "neq", "x")
    for operator in ("eq", "lt", "lte", "gt", "gte"):
        assert not dates("x", operator, "x")


@pytest.mark.parametrize(
    ("value", "empty"),
    [
        (None, True),
        (UNDEFINED, True),
        ("", True),
        ([], True),
        ({}, True),
        (" ", False),
        (0, False),
        (False, False),
        ([None], False),
        ({"a": None}, False),
        ("2024-05-06T07:08:09Z", False),
    ],
)
@pytest.mark.parametrize("kind", LEFT_TYPES)
def test_what_is_empty(kind: str, value: Any, empty: bool) -> None:
    """Null, the empty text, array and object, whatever the declared type."""
    assert decide(Variable(value, kind), "is_empty") is empty
    assert decide(Variable(value, kind), "is_not_empty") is not empty


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        ([], [], True),
        ([1, "a", None, True], [1.0, "a", None, True], True),
        ([1], [True], False),
        ([0], [False], False),
        ([None], [False], False),
        (["1"], [1], False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ([{"a": 1, "b": [2]}], [{"b": [2.0], "a": 1}], True),
        ([{"a": 1}], [{"a": 1, "b": None}], False),
        ([{"a": None}], [{"b": None}], False),
        ([{}], [[]], False),
        ([[[]]], [[[]]], True),
        ([[[]]], [[[1]]], False),
        ([2**70], [2**70], True),
        (UNDEFINED, [], False),
    ],
)
def test_arrays_are_compared_by_content(left: Any, right: Any, equal: bool) -> None:
    """However deep, whatever the order of members; types count, but for whole numbers."""
    for one, other in ((left, right), (right, left)):
        assert decide(Variable(one, "array"), "eq", Variable(other, "array")) is equal
        assert decide(Variable(one, "array"), "neq", Variable(other, "array")) is not equal


@pytest.mark.parametrize(
    ("left", "right", "contained"),
    [
        ([1, "a", {"b": [1]}], [], True),
        ([1, "a", {"b": [1]}], ["a", 1.0], True),
        ([1, "a", {"b": [1]}], [{"b": [1]}], True),
        ([1, "a", {"b": [1]}], [{"b": [2]}], False),
        ([1, "a", {"b": [1]}], ["a", "b"], False),
        ([True, [None]], [1], False),
        ([True, [None]], [True, [None]], True),
        ([None], [None], True),
        (UNDEFINED, [1], False),
        (UNDEFINED, [], False),
        ("text", ["t"], False),
        (["t"], "t", False),
    ],
)
def test_an_array_contains_all_elements_of_another(left: Any, right: Any, contained: bool) -> None:
    """Each by content; `not_contains` is the opposite, and what is no array neither contains nor is contained."""
    assert decide(Variable(left, "array"), "contains", Variable(right, "array")) is contained
    assert decide(Variable(left, "array"), "not_contains", Variable(right, "array")) is not contained


def test_comparing_arrays_is_bounded() -> None:
    """Arrays that were put into themselves again and again take more work than a node run may do."""

    def doubled() -> Any:
        value: Any = ["x"]
        for _ in range(100):
            value = [value, value]
        return value

    for compare in (deep_equal, contains_all):
        with pytest.raises(WorkLimitExceeded):
            compare(doubled(), doubled(), Meter(1_000_000))
    same = doubled()
    assert deep_equal(same, same, Meter(1_000))
