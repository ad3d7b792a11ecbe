"""Foreign node types: what they do with what they get."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from support.driving import drive, link_schema
from support.graphs import constant, declare, edge, end, node, ref, start

from flowgram_core.engine.errors import NodeError, NodeTypeError
from flowgram_core.engine.events import NodeStatusChanged
from flowgram_core.engine.isolation import copy_call
from flowgram_core.engine.limits import Limits
from flowgram_core.engine.node_type import (
    Behavior,
    Call,
    CallBehavior,
    NodeResult,
    NodeType,
    PureBehavior,
    RunScope,
    Trusted,
    is_trusted,
)
from flowgram_core.engine.program import Program
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.status import Status
from flowgram_core.modeling.values import Variable
from flowgram_core.nodes.registry import pure_node_types
from flowgram_core.nodes.variable import VariableNode

Run = Callable[[RunScope, dict[str, Any]], Any]


class Foreign:
    """A node type `foreign` that does what a test says.

    Args:
        run: What a run gives, or what is prepared.
        makes_calls: Whether `run` prepares a call.
        on_bind: Called with the node.
    """

    type = "foreign"

    def __init__(
        self, run: Run, *, makes_calls: bool = False, on_bind: Callable[[Node], object] = lambda node: None
    ) -> None:
        self._run = run
        self._makes_calls = makes_calls
        self._on_bind = on_bind

    def bind(self, node: Node) -> Behavior:
        self._on_bind(node)
        return CallBehavior(self._run) if self._makes_calls else PureBehavior(self._run)


def program(node_type: NodeType) -> Program:
    """start, one foreign node with a list `c`, end, which gives what came of it as `c`."""
    array = {"type": "array", "items": {"type": "integer"}}
    data = {
        "extra": {"list": [1]},
        "inputs": declare(c=array),
        "inputsValues": {"c": constant([1])},
        "outputs": declare(c=array),
    }
    nodes = [start(x=array), node("a", "foreign", data), end(c=(array, ref("a", "c")))]
    schema: dict[str, Any] = {"nodes": nodes, "edges": [edge("start_0", "a"), edge("a", "end_0")]}
    schema["globalVariable"] = declare(shared={**array, "default": [1]})
    return link_schema(schema, node_type)


def changing_inputs(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
    inputs["c"].append(2)
    inputs["more"] = True
    return {"c": inputs["c"]}


def changing_variables(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
    variable = scope.lookup("global", "shared")
    assert variable is not None
    variable.value.append(2)
    return {"c": variable.value}


def changing_task_inputs(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
    scope.task_inputs["x"].append(2)
    return {"c": [*scope.task_inputs["x"], 2]}


CHANGES = [changing_inputs, changing_variables, changing_task_inputs]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("makes_calls", [False, True])
def test_no_half_can_change_what_others_share(change: Run, makes_calls: bool) -> None:
    """Constants, variables and inputs of the task are the same for the next task, whatever a run did with its own."""

    def run(scope: RunScope, inputs: dict[str, Any]) -> Any:
        changed = change(scope, inputs)
        return changed if makes_calls else NodeResult(changed)

    linked = program(Foreign(run, makes_calls=makes_calls))
    given = {"x": [1]}
    for _ in range(2):
        driven = drive(linked, given, lambda call: call.inputs)
        assert driven.execution.finished is not None
        assert driven.execution.finished.outputs == {"c": [1, 2]}
        runs = (event for event in driven.events if isinstance(event, NodeStatusChanged))
        shown = next(event.inputs for event in runs if event.node_id == "a")
        assert shown == ({"c": [1, 2]} if makes_calls else {"c": [1]})
        assert given == {"x": [1]}


def test_what_a_run_keeps_is_not_what_others_see() -> None:
    """A value that was declared does not change any more with the object that it was made of."""
    kept = [1]

    def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
        scope.declare("a", "kept", Variable(kept, "array", "integer"))
        assert scope.assign("global", "shared", Variable(kept, "array", "integer"))
        kept.append(2)
        found = [scope.lookup("a", "kept"), scope.lookup("global", "shared")]
        return NodeResult({"c": [variable.value for variable in found if variable is not None]})

    driven = drive(program(Foreign(run)), {"x": [1]}, lambda call: {})
    assert driven.execution.finished is not None
    assert driven.execution.finished.outputs == {"c": [[1], [1]]}


def test_the_data_of_a_node_is_a_copy() -> None:
    """Binding may change it, and so may a call: the Document stays as the schema says."""

    def change(bound: Node) -> None:
        bound.data["extra"]["list"].append(2)
        bound.data["mine"] = 1

    linked = program(Foreign(lambda scope, inputs: inputs, makes_calls=True, on_bind=change))
    (found,) = [step.node for step in linked.root.steps if step.id == "a"]
    call = Call("a", found, {"c": [1]})
    for _ in range(2):
        own = copy_call(call)
        change(own.node)
        own.inputs["c"].append(2)
        assert own.node.data == {"extra": {"list": [1, 2]}, "mine": 1}
        assert found.data == {"extra": {"list": [1]}}
        assert (own.key, own.node.id, call.inputs) == ("a", "a", {"c": [1]})


class Derived(VariableNode):
    """Of a trusted type, by somebody else."""


class AlsoTrusted(Trusted):
    type = "foreign"

    def bind(self, node: Node) -> PureBehavior:
        return PureBehavior(
            lambda scope, inputs: NodeResult({"c": [inputs["c"], node.data["extra"]["list"]]})
        )


def test_the_built_in_node_types_are_trusted() -> None:
    """And nothing else that does not say so itself."""
    assert all(map(is_trusted, pure_node_types()))
    assert not is_trusted(Derived())
    assert not is_trusted(Foreign(changing_inputs))


def test_nothing_is_copied_for_trusted_types() -> None:
    """They get the Document's own objects."""
    linked = program(AlsoTrusted())
    outputs = [drive(linked, {"x": [1]}, lambda call: {}).execution.finished for _ in range(2)]
    first, second = (finished.outputs["c"] for finished in outputs if finished and finished.outputs)
    assert first[0] is second[0]
    (found,) = [node for node in linked.document.root.nodes if node.id == "a"]
    assert first[1] is found.data["extra"]["list"]


def failure(node_type: NodeType) -> tuple[str, list[type[BaseException]]]:
    """The one error of a task with a foreign node, and the types of the errors that the host is notified of."""
    driven = drive(program(node_type), {"x": [1]}, lambda call: {})
    finished = driven.execution.finished
    assert finished is not None
    (error,) = finished.errors
    assert (finished.status, error.node_id) == (Status.FAILED, "a")
    assert all(fault.node_id == "a" for fault in driven.execution.unexpected_errors)
    return error.text, [type(fault.error) for fault in driven.execution.unexpected_errors]


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"c": {1, 2}}, "that are no JSON: set is no JSON value"),
        ({float("nan"): 1}, "that are no JSON: a member of a JSON object has a name of type float"),
        ([1], "that are no JSON object"),
        (None, "that are no JSON object"),
    ],
)
@pytest.mark.parametrize("makes_calls", [False, True])
def test_what_is_no_json_fails_the_node(outputs: Any, text: str, makes_calls: bool) -> None:
    """With a text that says so, whichever half gave it; the host is notified of the error."""
    what = "inputs of a call" if makes_calls else "outputs"

    def run(scope: RunScope, inputs: dict[str, Any]) -> Any:
        return outputs if makes_calls else NodeResult(outputs)

    found = failure(Foreign(run, makes_calls=makes_calls))
    assert found == (f"Node type foreign gave {what} {text}", [NodeTypeError])


@pytest.mark.parametrize("result", [None, {"c": [1]}, ({"c": [1]}, ""), NodeResult({}, 5)])  # type: ignore[arg-type]
def test_a_result_that_is_none_fails_the_node(result: Any) -> None:
    """It is a `NodeResult`, and names its port by a text."""
    found = failure(Foreign(lambda scope, inputs: result))
    assert found == ("Node type foreign did not return a NodeResult", [NodeTypeError])


@pytest.mark.parametrize("method", ["declare", "assign"])
def test_variables_must_be_json(method: str) -> None:
    """They are the inputs of other nodes."""

    def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
        getattr(scope, method)("global", "shared", Variable({"a": {1}}, "object"))
        return NodeResult({})

    text = "Node type foreign gave a variable that is no JSON: set is no JSON value"
    assert failure(Foreign(run)) == (text, [NodeTypeError])


def test_values_are_as_json_has_them() -> None:
    """Tuples are lists from there on, and numbers that JSON does not have null."""
    driven = drive(
        program(Foreign(lambda scope, inputs: NodeResult({"c": (1, float("nan"))}))),
        {"x": [1]},
        lambda call: {},
    )
    assert driven.execution.finished is not None
    assert driven.execution.finished.outputs == {"c": [1, None]}


def raising(error: Exception) -> Callable[[Node], object]:
    def bind(node: Node) -> object:
        raise error

    return bind


@pytest.mark.parametrize("trusted", [False, True])
def test_a_node_type_that_cannot_be_bound_fails_the_node(trusted: bool) -> None:
    """When it runs, each time, with an error that does not grow; what went wrong is reported to the host."""
    error = ZeroDivisionError("secret detail")
    foreign = Foreign(lambda scope, inputs: NodeResult({}), on_bind=raising(error))

    class Known(Foreign, Trusted):
        pass

    node_type = Known(lambda scope, inputs: NodeResult({}), on_bind=raising(error)) if trusted else foreign
    linked = program(node_type)
    depths = []
    for _ in range(3):
        driven = drive(linked, {"x": [1]}, lambda call: {})
        assert driven.execution.finished is not None
        assert [found.text for found in driven.execution.finished.errors] == [
            "Node type foreign failed with an internal error"
        ]
        (fault,) = driven.execution.unexpected_errors
        assert fault.inputs == {"c": [1]}
        assert fault.error.__cause__ is error
        depths.append(len(traceback.extract_tb(error.__traceback__)))
    assert len(set(depths)) == 1


@pytest.mark.parametrize("error", [NodeError("needs a cup"), BindingError("needs a cup")])
def test_a_node_type_may_refuse_a_node_by_its_data(error: Exception) -> None:
    """With a text for users, which comes when the node runs."""
    assert failure(Foreign(lambda scope, inputs: NodeResult({}), on_bind=raising(error))) == (
        "needs a cup",
        [],
    )


def test_a_node_type_that_gives_no_behavior() -> None:
    """Is a mistake as any other."""

    class Nothing(Foreign):
        def bind(self, node: Node) -> Behavior:
            return None  # type: ignore[return-value]  # that is the mistake

    found = failure(Nothing(lambda scope, inputs: NodeResult({})))
    assert found == ("Node type foreign failed with an internal error", [NodeTypeError])


def test_a_foreign_node_chooses_its_branch() -> None:
    """The task goes on by the port that it names, and by no other."""

    def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
        return NodeResult({"c": [1]}, "yes")

    data = {"outputs": declare(c="array")}
    nodes = [start(), node("a", "foreign", data), node("no", "variable"), end(c=("array", ref("a", "c")))]
    edges = [edge("start_0", "a"), edge("a", "no", "no"), edge("a", "end_0", "yes")]
    driven = drive(link_schema({"nodes": nodes, "edges": edges}, Foreign(run)), {}, lambda call: {})
    assert driven.execution.finished is not None
    assert driven.execution.finished.outputs == {"c": [1]}
    runs = [event.node_id for event in driven.events if isinstance(event, NodeStatusChanged)]
    assert runs == ["start_0", "a", "end_0"]


def test_what_is_not_there_is_none() -> None:
    """A foreign node may ask for any variable."""
    found = []

    def run(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
        found.append((scope.lookup("nobody", "x"), scope.lookup("start_0", "nothing")))
        return NodeResult({"c": [1]})

    driven = drive(program(Foreign(run)), {"x": [1]}, lambda call: {})
    assert driven.execution.status is Status.SUCCEEDED
    assert found == [(None, None)]


def _looks_up(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
    for _ in range(20):
        scope.lookup("start_0", "x")
    return NodeResult({"c": []})


def _declares(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
    for _ in range(20):
        scope.declare("a", "kept", Variable([0] * 100_000, "array", "integer"))
    return NodeResult({"c": []})


def _gives(scope: RunScope, inputs: dict[str, Any]) -> NodeResult:
    return NodeResult({"c": [0] * 2_000_000})


def _asks(scope: RunScope, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"c": [0] * 2_000_000}


@pytest.mark.parametrize(
    ("run", "makes_calls"), [(_looks_up, False), (_declares, False), (_gives, False), (_asks, True)]
)
def test_copying_for_a_foreign_node_is_work(run: Run, makes_calls: bool) -> None:
    """A node that asks for, sets or gives much fails as one that computes much: two million parts are too many, none are not."""
    limits, inputs = Limits(max_node_work=10_000_000), {"x": [0] * 100_000}
    driven = drive(program(Foreign(run, makes_calls=makes_calls)), inputs, lambda call: {}, limits=limits)
    assert driven.execution.finished is not None
    assert [error.text for error in driven.execution.finished.errors] == [
        "Node run takes more work than the limit max_node_work = 10000000"
    ]
    modest = Foreign(lambda scope, inputs: NodeResult({"c": [0]}))
    assert drive(program(modest), inputs, lambda call: {}, limits=limits).execution.status is Status.SUCCEEDED
