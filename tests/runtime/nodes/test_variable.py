"""variable: declares variables of its own, and assigns to those of others."""

from typing import Any

import pytest
from support.graphs import constant, declare, ref
from support.pure_nodes import run_pure
from support.scopes import Variables

from flowgram_core.engine.errors import NodeError
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.javascript import get_path
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import UNDEFINED, Variable
from flowgram_core.nodes.variable import VariableNode


def declaring(name: Any, right: Any) -> dict[str, Any]:
    return {"operator": "declare", "left": name, "right": right}


def assigning(left: Any, right: Any) -> dict[str, Any]:
    return {"operator": "assign", "left": left, "right": right}


def run(scope: Variables, *assign: Any, outputs: dict[str, Any] | None = None) -> dict[str, Any]:
    return run_pure(VariableNode(), scope, {"assign": list(assign)}, outputs=outputs).outputs


# declare


def test_declare_makes_variables_of_the_node() -> None:
    """They are its outputs, in order, with the types of their values; later ones may use earlier ones."""
    scope = Variables({"a.b": Variable([1], "array", "integer")})
    outputs = run(
        scope,
        declaring("n", constant(1)),
        declaring("copy", ref("a", "b")),
        declaring("text", {"type": "template", "content": "{{node_0.n}}!"}),
    )
    assert outputs == {"n": 1, "copy": [1], "text": "1!"}
    assert list(outputs) == ["n", "copy", "text"]
    assert scope.lookup("node_0", "n") == Variable(1, "integer")
    assert scope.lookup("node_0", "copy") == Variable([1], "array", "integer")
    assert scope.lookup("node_0", "text") == Variable("1!", "string")


@pytest.mark.parametrize("right", [ref("nobody", "x"), constant(None), ref("a", "unset")])
def test_what_is_absent_declares_null(right: dict[str, Any]) -> None:
    """A variable that is declared exists."""
    scope = Variables({"a.unset": Variable(UNDEFINED, "string")})
    assert run(scope, declaring("v", right)) == {"v": None}
    found = scope.lookup("node_0", "v")
    assert found is not None
    assert found.value is None


def test_a_constant_takes_the_type_that_the_node_declares() -> None:
    """So that JSON text becomes the array that is declared."""
    outputs = declare(list={"type": "array", "items": {"type": "integer"}}, text="string")
    assert run(
        Variables(), declaring("list", constant("[1]")), declaring("text", constant("[1]")), outputs=outputs
    ) == {"list": [1], "text": "[1]"}


def test_declaring_again_replaces_the_variable() -> None:
    """The last value counts."""
    scope = Variables()
    assert run(scope, declaring("v", constant(1)), declaring("v", constant("x"))) == {"v": "x"}
    assert scope.lookup("node_0", "v") == Variable("x", "string")


# assign


def test_assign_sets_a_variable_and_keeps_its_type() -> None:
    """The node itself gives nothing for it."""
    scope = Variables({"a.b": Variable([1], "array", "integer")})
    assert run(scope, assigning(ref("a", "b"), constant([2, 3]))) == {}
    assert scope.lookup("a", "b") == Variable([2, 3], "array", "integer")


def test_a_constant_takes_the_type_of_the_variable_assigned_to() -> None:
    """JSON text for an object is parsed; for what lies at a path, nothing is declared."""
    scope = Variables({"a.object": {"x": 1}, "a.text": "t"})
    run(
        scope,
        assigning(ref("a", "text"), constant('{"y": 1}')),
        assigning(ref("a", "object"), constant('{"y": 1}')),
        assigning(ref("a", "object", "z"), constant("[1]")),
    )
    assert scope.lookup("a", "text") == Variable('{"y": 1}', "string")
    assert scope.lookup("a", "object") == Variable({"y": 1, "z": "[1]"}, "object")


def test_an_assignment_to_a_declared_variable_changes_the_outputs() -> None:
    """The outputs are the variables as they are in the end."""
    scope = Variables()
    assert run(scope, declaring("v", constant(1)), assigning(ref("node_0", "v"), constant(2))) == {"v": 2}


@pytest.mark.parametrize("right", [ref("nobody", "x"), constant(None)])
def test_what_is_absent_assigns_null(right: dict[str, Any]) -> None:
    """The type stays."""
    scope = Variables({"a.b": 1})
    run(scope, assigning(ref("a", "b"), right))
    assert scope.lookup("a", "b") == Variable(None, "integer")


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ({"x": {"y": 1, "z": 2}}, ["x", "y"], {"x": {"y": "new", "z": 2}}),
        ({}, ["x", "y"], {"x": {"y": "new"}}),
        ({"x": 5}, ["x", "y"], {"x": {"y": "new"}}),
        ([1, 2, 3], ["1"], [1, "new", 3]),
        ([1, {"a": 0}], [1, "a"], [1, {"a": "new"}]),
        (UNDEFINED, ["x"], {"x": "new"}),
        (None, ["0"], {"0": "new"}),
    ],
)
def test_assign_sets_what_lies_at_a_path(value: Any, path: list[Any], expected: Any) -> None:
    """Objects on the way are made where they are missing; what lies beside stays."""
    scope = Variables({"a.b": Variable(value, "object")})
    run(scope, assigning(ref("a", "b", *path), constant("new")))
    assert scope.lookup("a", "b") == Variable(expected, "object")


def test_assign_never_changes_a_value_that_others_hold() -> None:
    """Values are shared between variables and snapshots: the path to the change is copied."""
    shared = {"x": {"y": [1, 2]}, "other": {}}
    scope = Variables({"a.b": shared, "a.c": shared})
    run(scope, assigning(ref("a", "b", "x", "y", "0"), constant(9)))
    assert shared == {"x": {"y": [1, 2]}, "other": {}}
    changed = scope.lookup("a", "b")
    assert changed is not None
    assert changed.value == {"x": {"y": [9, 2]}, "other": {}}
    assert changed.value["other"] is shared["other"]


def test_a_path_may_be_longer_than_the_stack_is_deep() -> None:
    """What lies there can be read again."""
    path = ["p"] * 5_000
    scope = Variables({"a.b": {}})
    run(scope, assigning(ref("a", "b", *path), constant("new")))
    changed = scope.lookup("a", "b")
    assert changed is not None
    assert get_path(changed.value, path, Meter()) == "new"


@pytest.mark.parametrize("key", ["2", "-1", "x", "length", "01", "\u0661", "1" * 5_000])
def test_a_path_into_an_array_must_be_an_index_of_it(key: str) -> None:
    """By the same rule as where it is read. Arrays do not grow by assignment."""
    with pytest.raises(NodeError) as caught:
        run(Variables({"a.b": [1, 2]}), assigning(ref("a", "b", key), constant(1)))
    assert str(caught.value) == f'Variable path "{key}" is not an index of the array'


# Mistakes


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (assigning(ref("a", "x"), constant(1)), 'Variable "a.x" is not declared'),
        (assigning(ref("x", "b"), constant(1)), 'Variable "x.b" is not declared'),
        (assigning(ref("a"), constant(1)), 'Variable assignment "left" must be a ref to a variable'),
        (assigning("b", constant(1)), 'Variable assignment "left" must be a ref to a variable'),
        (assigning(constant(1), constant(1)), 'Variable assignment "left" must be a ref to a variable'),
        (declaring("", constant(1)), 'Variable declaration "left" must be a name'),
        (declaring(ref("a", "b"), constant(1)), 'Variable declaration "left" must be a name'),
        ({"operator": "add", "left": "x", "right": constant(1)}, 'Unknown variable operator "add"'),
        ({"left": "x", "right": constant(1)}, 'Unknown variable operator "null"'),
        (None, "Variable assignment must be an object"),
    ],
)
def test_errors_fail_the_node_when_it_runs(item: Any, text: str) -> None:
    """Binding does not raise; running does, with a text that names the mistake."""
    with pytest.raises(NodeError) as caught:
        run(Variables({"a.b": 1}), item)
    assert str(caught.value) == text


def test_an_error_on_the_right_fails_the_node() -> None:
    """As it does everywhere."""
    with pytest.raises(BindingError, match="Unknown flow value type: expression"):
        run(Variables(), declaring("v", {"type": "expression", "content": "1"}))


@pytest.mark.parametrize("data", [{}, {"assign": None}, {"assign": {}}, {"assign": []}])
def test_without_assignments_nothing_happens(data: dict[str, Any]) -> None:
    """No outputs, no error."""
    assert run_pure(VariableNode(), Variables(), data).outputs == {}
