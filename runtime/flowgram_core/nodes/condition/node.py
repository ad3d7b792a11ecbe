"""The condition node: chooses a branch by comparing values.

`data.conditions` gives one condition for each branch; the editor's multi-condition node gives `data.branch`, where each
branch has several, joined by `and` or `or`, and is named by its place: `branch.0`, `branch.1` …
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript
from flowgram_core.modeling.bindings import Binding, compile_reference, compile_value
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.values import NULL, UNDEFINED, types_equal
from flowgram_core.nodes.condition.operators import RULES, Holds

ELSE = "else"
"""The branch that is chosen when no condition holds."""

_NOTHING: JSONObject = {}
_ELSE = NodeResult(_NOTHING, ELSE)


class ConditionNode(Trusted):
    """A node that branches.

    Attributes:
        type: `condition`, or `multi-condition`, as some editors call the form with `data.branch`.
    """

    def __init__(self, node_type: str = "condition") -> None:
        self.type = node_type

    def bind(self, node: Node) -> PureBehavior:
        """Compiles the sides of all conditions. Without conditions, all next nodes are taken."""
        conditions, branches = node.data.get("conditions"), node.data.get("branch")
        if isinstance(conditions, list):
            return PureBehavior(_single([_compile(item) for item in conditions]))
        if isinstance(branches, list):
            return PureBehavior(
                _multiple([_compile_branch(index, item) for index, item in enumerate(branches)])
            )
        return PureBehavior(lambda scope, inputs: NodeResult(_NOTHING))  # noqa: ARG005


class _Condition(NamedTuple):
    key: str
    left: Binding
    operator: str
    right: Binding | None


class _Branch(NamedTuple):
    port: str
    join: Callable[[Any], bool]
    conditions: list[_Condition]


_Decider = tuple[Holds | None, Any, Any]
"""A condition with its values: the predicate (None where the right side has not the type that the rule wants), left, right."""


_FEW: Final = 8
"""So many conditions are not worth while counting."""
_CONDITION: Final = 10 * PART
"""Work of one condition, beside that of its values."""


def _holds(meter: Meter, decider: _Decider) -> bool:
    holds, left, right = decider
    return holds is not None and holds(left, right, meter)


def _compile(item: Any) -> _Condition:
    item = item if isinstance(item, dict) else {}
    value = item.get("value")
    value = value if isinstance(value, dict) else {}
    right = value.get("right")
    key = item.get("key")
    return _Condition(
        key=javascript.to_string(key) if javascript.truthy(key) else "",
        left=compile_reference(value.get("left", UNDEFINED)),
        operator=javascript.to_string(value.get("operator", UNDEFINED)),
        right=compile_value(right) if javascript.truthy(right) else None,
    )


def _compile_branch(index: int, item: Any) -> _Branch:
    item = item if isinstance(item, dict) else {}
    conditions = item.get("conditions")
    return _Branch(
        port=f"branch.{index}",
        join=any if item.get("logic") == "or" else all,
        conditions=[_compile(condition) for condition in conditions] if isinstance(conditions, list) else [],
    )


def _resolve(conditions: list[_Condition], scope: RunScope) -> list[_Decider]:
    """Resolves the sides of all conditions, and finds the rules that decide them.

    Absent or unset counts as null. Every condition is checked before the first is decided, so an error in the last one
    counts. Raises `BindingError`, or `NodeError` for an operator that the left side does not have.
    """
    deciders: list[_Decider] = []
    if len(conditions) > _FEW:
        scope.meter.spend(_CONDITION * len(conditions))
    unsupported: NodeError | None = None
    for _, left_side, operator, right_side in conditions:
        found = left_side.resolve(scope)
        if found is None:
            left, left_type = None, NULL
        else:
            left, left_type = found.value, found.type or NULL
            if left is UNDEFINED:
                left = None
        rules = RULES.get(left_type)
        rule = None if rules is None else rules.get(operator)
        if rule is None:
            # The sides of the others are still resolved: what goes wrong there comes first.
            if right_side is not None:
                right_side.resolve(scope, NULL)
            if unsupported is None:
                problem = "is not supported" if rules is None else f'has no operator "{operator}"'
                unsupported = NodeError(f'Condition left type "{left_type}" {problem}')
            continue
        right_type, holds = rule
        if right_type is None:
            deciders.append((holds, left, None))
            continue
        found = None if right_side is None else right_side.resolve(scope, right_type)
        if found is None:
            deciders.append((holds if right_type == NULL else None, left, None))
        else:
            right = None if found.value is UNDEFINED else found.value
            fits = found.type == right_type or types_equal(found.type or NULL, right_type)
            deciders.append((holds if fits else None, left, right))
    if unsupported is not None:
        raise unsupported
    return deciders


def _single(conditions: list[_Condition]) -> Callable[[RunScope, JSONObject], NodeResult]:
    results = [NodeResult(_NOTHING, condition.key) for condition in conditions]

    def run(scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG001
        meter = scope.meter
        for index, (holds, left, right) in enumerate(_resolve(conditions, scope)):
            if holds is not None and holds(left, right, meter):
                return results[index]
        return _ELSE

    return run


def _multiple(branches: list[_Branch]) -> Callable[[RunScope, JSONObject], NodeResult]:
    def run(scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG001
        scope.meter.spend(_CONDITION * len(branches))
        holds = partial(_holds, scope.meter)
        resolved = [_resolve(branch.conditions, scope) for branch in branches]
        for branch, deciders in zip(branches, resolved, strict=True):
            if deciders and branch.join(map(holds, deciders)):
                return NodeResult(_NOTHING, branch.port)
        return _ELSE

    return run
