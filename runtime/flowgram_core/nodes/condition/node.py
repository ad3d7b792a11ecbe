"""The condition node: chooses a branch by comparing values.

`data.conditions` gives one condition for each branch; the editor's multi-condition node gives `data.branch`, where each
branch has several, joined by `and` or `or`, and is named by its position: `branch.0`, `branch.1` …
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript
from flowgram_core.modeling.bindings import ConstantBinding, compile_reference, compile_value
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.scope import Binding
from flowgram_core.modeling.values import NULL, UNDEFINED, types_equal
from flowgram_core.nodes.condition.operators import RULES, Holds

ELSE = "else"
"""The branch that is chosen when no condition holds."""

_NOTHING: Final[JSONObject] = {}
_ELSE: Final = NodeResult(_NOTHING, ELSE)


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
            compiled = [_compile(item) for item in conditions]
            return _One(compiled[0]) if len(compiled) == 1 else PureBehavior(_single(compiled))
        if isinstance(branches, list):
            return PureBehavior(
                _multiple([_compile_branch(index, item) for index, item in enumerate(branches)])
            )
        return PureBehavior(lambda scope, inputs: NodeResult(_NOTHING))  # noqa: ARG005


_Decider = tuple[Holds | None, Any, Any]
"""A condition with its values: the predicate (None where the right side has not the type that the rule wants), left, right."""


class _Condition:
    """One condition.

    Attributes:
        known: By left type: the predicate and the right value, where these are the same in every run.
    """

    __slots__ = ("key", "known", "left", "operator", "right")

    def __init__(self, key: str, left: Binding, operator: str, right: Binding | None) -> None:
        self.key = key
        self.left = left
        self.operator = operator
        self.right = right
        self.known: dict[str, tuple[Holds | None, Any]] = {}


class _Branch(NamedTuple):
    port: str
    join: Callable[[Any], bool]
    conditions: list[_Condition]


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
    for condition in conditions:
        left, left_type = _left_of(condition, scope)
        known = condition.known.get(left_type)
        if known is not None:
            deciders.append((known[0], left, known[1]))
            continue
        try:
            deciders.append(_decider(condition, left, left_type, scope))
        except NodeError as error:
            # The sides of the others are still resolved: what goes wrong there comes first.
            unsupported = unsupported or error
    if unsupported is not None:
        raise unsupported
    return deciders


def _left_of(condition: _Condition, scope: RunScope) -> tuple[Any, str]:
    found = condition.left.resolve(scope)
    if found is None:
        return None, NULL
    left = found.value
    return None if left is UNDEFINED else left, found.type or NULL


def _decider(condition: _Condition, left: Any, left_type: str, scope: RunScope) -> _Decider:
    """Finds the rule of a condition, and resolves its right side. Raises `NodeError` where the left type has no such rule."""
    rules = RULES.get(left_type)
    rule = None if rules is None else rules.get(condition.operator)
    right_side = condition.right
    if rule is None:
        if right_side is not None:
            right_side.resolve(scope, NULL)
        problem = "is not supported" if rules is None else f'has no operator "{condition.operator}"'
        raise NodeError(f'Condition left type "{left_type}" {problem}')
    right_type, holds = rule
    found = None if right_type is None or right_side is None else right_side.resolve(scope, right_type)
    right, predicate = None, holds if right_type is None or right_type == NULL else None
    if found is not None and right_type is not None:
        right = None if found.value is UNDEFINED else found.value
        fits = found.type == right_type or types_equal(found.type or NULL, right_type)
        predicate = holds if fits else None
    if right_type is None or right_side is None or isinstance(right_side, ConstantBinding):
        condition.known[left_type] = predicate, right
    return predicate, left, right


class _One(PureBehavior):
    """A single condition, the usual case."""

    __slots__ = ("_condition", "_known", "_left", "_result")

    def __init__(self, condition: _Condition) -> None:
        super().__init__()
        self._condition = condition
        self._known = condition.known
        self._left = condition.left
        self._result = NodeResult(_NOTHING, condition.key)

    def run(self, scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG002
        """Whether it holds."""
        found = self._left.resolve(scope)
        left: Any = None
        left_type = NULL
        if found is not None:
            left_type = found.type or NULL
            left = found.value
            if left is UNDEFINED:
                left = None
        rule = self._known.get(left_type)
        if rule is None:
            holds, left, right = _decider(self._condition, left, left_type, scope)
        else:
            holds, right = rule
        return self._result if holds is not None and holds(left, right, scope.meter) else _ELSE


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
