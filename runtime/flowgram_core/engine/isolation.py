"""Isolation of third-party node types: whatever they do affects their own node only.

They get copies of shared objects: the Document, constants, and the variables of the task. What they return is checked, so
that a bug of theirs fails their own node, with an error that names it, and not a later node that uses its outputs.
"""

from collections.abc import Callable
from dataclasses import replace

from flowgram_core.engine.errors import NodeError, NodeTypeError
from flowgram_core.engine.node_type import (
    Behavior,
    Call,
    CallBehavior,
    NodeResult,
    NodeType,
    PureBehavior,
    RunScope,
    is_trusted,
)
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import Variable, copied

_Run = Callable[[RunScope, JSONObject], NodeResult]
_Prepare = Callable[[RunScope, JSONObject], JSONObject]


def bind(node_type: NodeType, node: Node) -> Behavior:
    """The behavior of a node, with what its node type needs around it. An error while binding fails the node when it runs."""
    try:
        if is_trusted(node_type):
            return node_type.bind(node)
        behavior: object = node_type.bind(_copy_node(node))
    except Exception as error:  # noqa: BLE001 - reported and logged when the node runs
        return PureBehavior(_failing(node.type, error))
    if isinstance(behavior, PureBehavior):
        return PureBehavior(_pure(node.type, behavior.function or behavior.run))
    if isinstance(behavior, CallBehavior):
        return CallBehavior(_prepare(node.type, behavior.prepare))
    return PureBehavior(_failing(node.type, TypeError(f"bind gave {type(behavior).__name__}, no behavior")))


def copy_call(call: Call) -> Call:
    """A copy of a call that an executor may change."""
    return Call(call.key, _copy_node(call.node), copied(call.inputs))


class _CopiedScope(RunScope):
    """The variables that a third-party node sees: copies of the real ones."""

    __slots__ = ("_name", "_scope")

    def __init__(self, name: str, scope: RunScope) -> None:
        self._name = name
        self._scope = scope
        self.meter = scope.meter

    @property
    def task_inputs(self) -> JSONObject:
        return copied(self._scope.task_inputs, self._scope.meter)

    def spend(self, size: int) -> int:
        return self._scope.spend(size)

    def lookup(self, node_id: str, key: str) -> Variable | None:
        variable = self._scope.lookup(node_id, key)
        return None if variable is None else variable.with_value(copied(variable.value, self._scope.meter))

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        self._scope.declare(node_id, key, self._checked(variable))

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        return self._scope.assign(node_id, key, self._checked(variable))

    def _checked(self, variable: Variable) -> Variable:
        return variable.with_value(_json(self._name, "a variable that is", variable.value, self._scope.meter))


def _failing(name: str, error: Exception) -> _Run:
    def run(scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG001
        # A new error each time: raising one object again and again makes its traceback grow.
        if isinstance(error, NodeError | BindingError):
            raise NodeError(str(error))
        raise NodeTypeError(f"Node type {name} failed with an internal error") from error

    return run


def _pure(name: str, run: _Run) -> _Run:
    def guarded(scope: RunScope, inputs: JSONObject) -> NodeResult:
        result: object = run(_CopiedScope(name, scope), copied(inputs, scope.meter))
        if not isinstance(result, NodeResult) or not isinstance(result.branch, str):
            raise NodeTypeError(f"Node type {name} did not return a NodeResult")
        return NodeResult(_object(name, "outputs", result.outputs, scope.meter), result.branch)

    return guarded


def _prepare(name: str, prepare: _Prepare) -> _Prepare:
    def guarded(scope: RunScope, inputs: JSONObject) -> JSONObject:
        prepared = prepare(_CopiedScope(name, scope), copied(inputs, scope.meter))
        return _object(name, "inputs of a call", prepared, scope.meter)

    return guarded


def _object(name: str, what: str, value: object, meter: Meter) -> JSONObject:
    given = _json(name, f"{what} that are", value, meter)
    if not isinstance(given, dict):
        raise NodeTypeError(f"Node type {name} gave {what} that are no JSON object")
    return given


def _json(name: str, what: str, value: object, meter: Meter) -> object:
    try:
        return copied(value, meter)
    except TypeError as error:
        raise NodeTypeError(f"Node type {name} gave {what} no JSON: {error}") from error


def _copy_node(node: Node) -> Node:
    return replace(node, data=copied(node.data))
