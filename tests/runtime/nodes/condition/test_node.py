"""condition: operators by left type, types of the right side, and the branch that is chosen."""

from typing import Any

import pytest
from support.conditions import condition, constant, decide, ref
from support.pure_nodes import run_pure
from support.scopes import Variables

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import NodeResult
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.values import UNDEFINED, Variable
from flowgram_core.nodes.condition.node import ConditionNode

OPERATORS = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "in",
    "nin",
    "contains",
    "not_contains",
    "is_true",
    "is_false",
    "is_empty",
    "is_not_empty",
]

_EMPTINESS: dict[str, str | None] = {"is_empty": None, "is_not_empty": None}
_LISTS: dict[str, str | None] = {"in": "array", "nin": "array"}


def _orders(kind: str) -> dict[str, str | None]:
    return dict.fromkeys(("eq", "neq", "gt", "gte", "lt", "lte"), kind)


TABLE: dict[str, dict[str, str | None]] = {
    "string": {
        **dict.fromkeys(("eq", "neq", "contains", "not_contains"), "string"),
        **_LISTS,
        **_EMPTINESS,
    },
    "integer": {**_orders("number"), **_LISTS, **_EMPTINESS},
    "number": {**_orders("number"), **_LISTS, **_EMPTINESS},
    "boolean": {
        **dict.fromkeys(("eq", "neq"), "boolean"),
        **_LISTS,
        **dict.fromkeys(("is_true", "is_false")),
        **_EMPTINESS,
    },
    "date-time": {**_orders("date-time"), **_EMPTINESS},
    "object": _EMPTINESS,
    "map": _EMPTINESS,
    "array": {**dict.fromkeys(("eq", "neq", "contains", "not_contains"), "array"), **_EMPTINESS},
    "null": {"eq": "null", **_EMPTINESS},
}
"""For each left type, its operators and the type that the right side must have (None: it is not looked at)."""

SAMPLES: dict[str, Any] = {
    "string": "a",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "date-time": "2024-05-06T07:08:09Z",
    "object": {"a": 1},
    "map": {"a": 1},
    "array": ["a", 1, 1.5, True],
    "null": None,
}


def equal_types(one: str, other: str | None) -> bool:
    return one == other or {one, other} == {"integer", "number"}


# The table


@pytest.mark.parametrize("left", TABLE)
@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_by_left_type(left: str, operator: str) -> None:
    """An operator that the left type does not have fails the node; one that it has gives an answer."""
    value = Variable(SAMPLES[left], left)
    if operator in TABLE[left]:
        decide(value, operator)
    else:
        with pytest.raises(NodeError) as caught:
            decide(value, operator)
        assert str(caught.value) == f'Condition left type "{left}" has no operator "{operator}"'


# Where the right side has the right type, exactly one of two opposites holds; else none does.
OPPOSITES = [
    ("eq", "neq"),
    ("gt", "lte"),
    ("gte", "lt"),
    ("in", "nin"),
    ("contains", "not_contains"),
]


@pytest.mark.parametrize("left", TABLE)
@pytest.mark.parametrize("right", SAMPLES)
@pytest.mark.parametrize(("operator", "opposite"), OPPOSITES)
def test_right_types(left: str, right: str, operator: str, opposite: str) -> None:
    """A right side of another type makes the condition false, and its opposite as well; integer is as number."""
    if operator not in TABLE[left] or opposite not in TABLE[left]:
        return
    sides = Variable(SAMPLES[left], left), Variable(SAMPLES[right], right)
    answers = decide(sides[0], operator, sides[1]), decide(sides[0], opposite, sides[1])
    fits = equal_types(right, TABLE[left][operator])
    assert sum(answers) == (1 if fits else 0)


@pytest.mark.parametrize("left", TABLE)
@pytest.mark.parametrize("right", [*SAMPLES, None])
@pytest.mark.parametrize(("operator", "opposite"), [("is_empty", "is_not_empty"), ("is_true", "is_false")])
def test_is_operators_do_not_look_at_the_right_side(
    left: str, right: str | None, operator: str, opposite: str
) -> None:
    """Whatever is there, one of the two opposites holds."""
    if operator not in TABLE[left]:
        return
    value = Variable(SAMPLES[left], left)
    other = None if right is None else Variable(SAMPLES[right], right)
    assert decide(value, operator, other) is not decide(value, opposite, other)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [("null", "null", True), *(("null", kind, False) for kind in SAMPLES if kind != "null")],
)
def test_null_equals_null_only(left: str, right: str, expected: bool) -> None:
    """The one comparison that null has."""
    assert decide(Variable(None, left), "eq", Variable(SAMPLES[right], right)) is expected


@pytest.mark.parametrize("left", [kind for kind in TABLE if kind != "null"])
@pytest.mark.parametrize("operator", ["eq", "neq", "lt", "gte", "in", "nin", "contains", "not_contains"])
def test_an_absent_right_side_makes_a_condition_false(left: str, operator: str) -> None:
    """Absent counts as null, which is of another type."""
    if operator in TABLE[left]:
        assert not decide(Variable(SAMPLES[left], left), operator)


def test_a_left_type_that_does_not_exist() -> None:
    """A variable may be declared with any type."""
    with pytest.raises(NodeError) as caught:
        decide(Variable("x", "colour"), "eq", Variable("x", "colour"))
    assert str(caught.value) == 'Condition left type "colour" is not supported'


# Sides


@pytest.mark.parametrize("left", [ref("nobody", "x"), ref("v"), ref("v", "left", "x"), ref("v", "none")])
def test_an_absent_left_side_counts_as_null(left: dict[str, Any]) -> None:
    """It equals null and nothing else, is empty, and has no other operator."""
    scope = Variables({"v.left": {}, "v.none": Variable(None, None), "v.null": Variable(UNDEFINED, None)})
    holds = {"conditions": [condition("eq", None, left)]}
    assert run_pure(ConditionNode(), scope, holds).branch == "yes"
    assert (
        run_pure(ConditionNode(), scope, {"conditions": [condition("is_empty", None, left)]}).branch == "yes"
    )
    assert (
        run_pure(ConditionNode(), scope, {"conditions": [condition("eq", ref("v", "null"), left)]}).branch
        == "yes"
    )
    assert (
        run_pure(ConditionNode(), scope, {"conditions": [condition("eq", ref("v", "left"), left)]}).branch
        == "else"
    )
    with pytest.raises(NodeError, match='Condition left type "null" has no operator "gt"'):
        run_pure(ConditionNode(), scope, {"conditions": [condition("gt", constant(1), left)]})


def test_a_constant_on_the_right_takes_the_type_of_the_rule() -> None:
    """Unchecked, so that it always fits; for an array, JSON text is parsed."""
    scope = Variables({"v.left": Variable(5, "integer"), "v.text": "5"})

    def holds(operator: str, right: Any, left: Any = None) -> bool:
        return (
            run_pure(ConditionNode(), scope, {"conditions": [condition(operator, right, left)]}).branch
            == "yes"
        )

    assert holds("in", constant("[1, 5]"))
    assert holds("lt", constant("6"))
    assert not holds("eq", constant("5"))
    assert holds("neq", constant("5"))
    assert holds("eq", constant("5"), ref("v", "text"))
    assert not holds("eq", constant(5), ref("v", "text"))
    assert not holds("eq", constant(None))


def test_a_template_on_the_right_is_a_text() -> None:
    """It fits texts only."""
    scope = Variables({"v.left": "ab", "v.number": 1})
    right = {"type": "template", "content": "{{v.left}}"}
    assert run_pure(ConditionNode(), scope, {"conditions": [condition("eq", right)]}).branch == "yes"
    number = condition("neq", {"type": "template", "content": "2"}, ref("v", "number"))
    assert run_pure(ConditionNode(), scope, {"conditions": [number]}).branch == "else"


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (condition("eq", constant(1), constant(1)), "Invalid ref value: [object Object]"),
        ({"key": "a", "value": {"operator": "eq"}}, "Invalid ref value: undefined"),
        (condition("eq", {"type": "expression", "content": "1"}), "Unknown flow value type: expression"),
    ],
)
def test_errors_in_the_sides_fail_the_node(item: dict[str, Any], text: str) -> None:
    """A left side that is no reference, and an expression on the right."""
    with pytest.raises(BindingError) as caught:
        run_pure(ConditionNode(), Variables({"v.left": 1}), {"conditions": [item]})
    assert str(caught.value) == text


# Branches


def branch(scope: Variables, *conditions: dict[str, Any]) -> str:
    return run_pure(ConditionNode(), scope, {"conditions": list(conditions)}).branch


def test_the_first_condition_that_holds_gives_the_branch() -> None:
    """Its key; else where none holds, and where there are none."""
    scope = Variables({"v.left": 5})
    never, small, large = (
        condition("lt", constant(0), key="never"),
        condition("gt", constant(1), key="small"),
        condition("gt", constant(3), key="large"),
    )
    assert branch(scope, never, small, large) == "small"
    assert branch(scope, large, small) == "large"
    assert branch(scope, never) == "else"
    assert branch(scope) == "else"


@pytest.mark.parametrize("data", [{}, {"conditions": None}])
def test_without_conditions_there_is_no_branch(data: dict[str, Any]) -> None:
    """All next nodes are taken."""
    assert run_pure(ConditionNode(), Variables(), data) == NodeResult({}, "")


def test_all_conditions_are_checked_before_the_first_is_decided() -> None:
    """An operator that does not exist fails the node wherever it stands; of several errors the first is reported."""
    scope = Variables({"v.left": 5, "v.text": "a"})
    holds = condition("gt", constant(0))
    with pytest.raises(NodeError, match='"integer" has no operator "contains"'):
        branch(
            scope, holds, condition("contains", constant("5")), condition("gt", constant(1), ref("v", "text"))
        )


def test_errors_in_sides_come_before_wrong_operators() -> None:
    """All sides are resolved before the first operator is looked at."""
    scope = Variables({"v.left": 5})
    with pytest.raises(BindingError, match="Unknown flow value type: expression"):
        branch(scope, condition("contains"), condition("eq", {"type": "expression"}))
    with pytest.raises(BindingError, match="Unknown flow value type: expression"):
        branch(scope, condition("contains"), condition("contains", {"type": "expression"}))


# The editor's multi-condition


def multiple(scope: Variables, *branches: tuple[str, list[dict[str, Any]]]) -> NodeResult:
    data = {"branch": [{"logic": logic, "conditions": conditions} for logic, conditions in branches]}
    return run_pure(ConditionNode(), scope, data)


def test_branches_of_several_conditions() -> None:
    """and: all hold; or: one does. The first branch that holds is chosen by its place."""
    scope = Variables({"v.left": 5})
    yes, no = condition("gt", constant(0)), condition("lt", constant(0))
    assert multiple(scope, ("and", [yes, no]), ("or", [no, yes])) == NodeResult({}, "branch.1")
    assert multiple(scope, ("and", [yes, yes]), ("or", [yes])).branch == "branch.0"
    assert multiple(scope, ("or", [no, no]), ("and", [no])).branch == "else"


def test_a_branch_without_conditions_never_holds() -> None:
    """Neither with and nor with or; and no branches at all are else."""
    assert multiple(Variables(), ("and", []), ("or", [])).branch == "else"
    assert multiple(Variables()).branch == "else"


def test_all_branches_are_checked_before_the_first_is_decided() -> None:
    """A mistake in the last branch fails the node."""
    scope = Variables({"v.left": 5})
    with pytest.raises(NodeError, match='has no operator "contains"'):
        multiple(scope, ("and", [condition("gt", constant(0))]), ("or", [condition("contains")]))


def test_multi_condition_is_a_name_of_its_own_too() -> None:
    """Some editors call the form with branches so."""
    data = {"branch": [{"logic": "and", "conditions": [condition("is_not_empty")]}]}
    node_type = ConditionNode("multi-condition")
    assert node_type.type == "multi-condition"
    assert run_pure(node_type, Variables({"v.left": 1}), data).branch == "branch.0"


@pytest.mark.parametrize("item", [None, 5, "x", {}, {"key": "a"}, {"key": "a", "value": None}])
def test_what_is_no_condition_fails_the_node(item: Any) -> None:
    """It has no left side."""
    with pytest.raises(BindingError, match="Invalid ref value: undefined"):
        run_pure(ConditionNode(), Variables(), {"conditions": [item]})
