"""Foreign node types: those that the runtime does not know to keep its rules. Whatever they do, it harms their own node only.

They get copies of what others share: the Document, constants, and the variables of the task.
"""

from collections.abc import Callable
from dataclasses import replace

from flowgram_runtime.engine.node_type import (
    Behavior,
    Call,
    CallBehavior,
    NodeResult,
    NodeType,
    PureBehavior,
    RunScope,
    is_trusted,
)
from flowgram_runtime.modeling.document import Node
from flowgram_runtime.modeling.json_text import JSONObject
from flowgram_runtime.modeling.values import Variable, copied

_Run = Callable[[RunScope, JSONObject], NodeResult]
_Prepare = Callable[[RunScope, JSONObject], JSONObject]


def bind(node_type: NodeType, node: Node) -> Behavior:
    """The behavior of a node, with what its node type needs around it."""
    if is_trusted(node_type):
        return node_type.bind(node)
    behavior = node_type.bind(_own_node(node))
    if isinstance(behavior, PureBehavior):
        return PureBehavior(_pure(behavior.run))
    return CallBehavior(_prepare(behavior.prepare))


def own_call(call: Call) -> Call:
    """A call that an executor may do with what it likes."""
    return Call(call.key, _own_node(call.node), copied(call.inputs))


class _OwnScope:
    """The variables that a foreign node sees. What it takes out is its own."""

    __slots__ = ("_scope",)

    def __init__(self, scope: RunScope) -> None:
        self._scope = scope

    @property
    def task_inputs(self) -> JSONObject:
        return copied(self._scope.task_inputs)

    def lookup(self, node_id: str, key: str) -> Variable | None:
        variable = self._scope.lookup(node_id, key)
        return None if variable is None else _own_variable(variable)

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        self._scope.declare(node_id, key, _own_variable(variable))

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        return self._scope.assign(node_id, key, _own_variable(variable))


def _pure(run: _Run) -> _Run:
    def guarded(scope: RunScope, inputs: JSONObject) -> NodeResult:
        return run(_OwnScope(scope), copied(inputs))

    return guarded


def _prepare(prepare: _Prepare) -> _Prepare:
    def guarded(scope: RunScope, inputs: JSONObject) -> JSONObject:
        return prepare(_OwnScope(scope), copied(inputs))

    return guarded


def _own_node(node: Node) -> Node:
    return replace(node, data=copied(node.data))


def _own_variable(variable: Variable) -> Variable:
    return variable._replace(value=copied(variable.value))
