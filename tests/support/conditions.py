"""Conditions to be decided without a workflow."""

from typing import Any

from flowgram_core.engine.node_type import NodeResult
from flowgram_core.modeling.values import Variable
from flowgram_core.nodes.condition.node import ConditionNode
from support.pure_nodes import run_pure
from support.scopes import Variables

LEFT_TYPES = ("string", "integer", "number", "boolean", "date-time", "object", "map", "array", "null")
"""All types that a left side may have."""


def ref(*content: Any) -> dict[str, Any]:
    return {"type": "ref", "content": list(content)}


def constant(content: Any) -> dict[str, Any]:
    return {"type": "constant", "content": content}


def condition(operator: str, right: Any = None, left: Any = None, key: str = "yes") -> dict[str, Any]:
    value: dict[str, Any] = {"left": left or ref("v", "left"), "operator": operator}
    if right is not None:
        value["right"] = right
    return {"key": key, "value": value}


def decide(left: Variable, operator: str, right: Variable | None = None) -> bool:
    """Whether a condition between two variables holds."""
    scope = Variables({"v.left": left} | ({} if right is None else {"v.right": right}))
    result = run_pure(ConditionNode(), scope, {"conditions": [condition(operator, ref("v", "right"))]})
    assert result in (NodeResult({}, "yes"), NodeResult({}, "else"))
    return result.branch == "yes"
