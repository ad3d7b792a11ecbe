"""The variable node: declares variables of its own, and assigns to those of other nodes (only the editor has it).

`data.assign` is a list of `{operator: "declare", left: name, right: binding}` and
`{operator: "assign", left: ref, right: binding}`, carried out in order.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from flowgram_core.engine.errors import NodeError
from flowgram_core.engine.node_type import NodeResult, PureBehavior, RunScope, Trusted
from flowgram_core.modeling import javascript
from flowgram_core.modeling.bindings import compile_value
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.meter import PART, Meter
from flowgram_core.modeling.scope import Binding
from flowgram_core.modeling.sizes import dict_memory, list_memory
from flowgram_core.modeling.values import UNDEFINED, Variable, type_of

_ASSIGNMENT: Final = 10 * PART
_COPIED_ITEM: Final = 2
_COPIED_MEMBER: Final = 20
"""Work of an assignment, and of copying an item of an array or a member of an object."""


class VariableNode(Trusted):
    """A node that sets variables. Its outputs are the variables that it declared."""

    type = "variable"

    def bind(self, node: Node) -> PureBehavior:
        """Compiles the sides of all assignments."""
        assignments = node.data.get("assign")
        types = {declaration.key: declaration.type for declaration in node.outputs}
        steps = [
            _compile(node.id, item, types) for item in (assignments if isinstance(assignments, list) else ())
        ]

        def run(scope: RunScope, inputs: JSONObject) -> NodeResult:  # noqa: ARG001
            declared: dict[str, None] = {}
            scope.meter.spend(_ASSIGNMENT * len(steps))
            for step in steps:
                step.run(scope, declared)
            return NodeResult({name: _value(scope.lookup(node.id, name)) for name in declared})

        return PureBehavior(run)


class _Declare:
    def __init__(self, node_id: str, name: str, declared_type: str | None, right: Binding) -> None:
        self._node_id = node_id
        self._name = name
        self._type = declared_type
        self._right = right

    def run(self, scope: RunScope, declared: dict[str, None]) -> None:
        found = self._right.resolve(scope, self._type)
        value = _value(found)
        variable = Variable(value, type_of(value)) if found is None else found.with_value(value)
        scope.declare(self._node_id, self._name, variable)
        declared[self._name] = None


class _Assign:
    def __init__(self, node_id: str, key: str, path: Sequence[Any], right: Binding) -> None:
        self._node_id = node_id
        self._key = key
        self._path = path
        self._right = right

    def run(self, scope: RunScope, declared: dict[str, None]) -> None:  # noqa: ARG002 - declares nothing
        variable = scope.lookup(self._node_id, self._key)
        if variable is None:
            raise NodeError(f'Variable "{self._node_id}.{self._key}" is not declared')
        # A constant takes the type of the variable that it is assigned to.
        value = _value(self._right.resolve(scope, None if self._path else variable.type))
        changed = _replace(variable.value, self._path, value, scope.meter) if self._path else value
        scope.assign(self._node_id, self._key, variable.with_value(changed))


class _Invalid:
    def __init__(self, message: str) -> None:
        self._message = message

    def run(self, scope: RunScope, declared: dict[str, None]) -> None:  # noqa: ARG002 - invalid whatever the scope is
        raise NodeError(self._message)


def _value(variable: Variable | None) -> Any:
    """The value of a variable; null where it is absent or unset."""
    return None if variable is None or variable.value is UNDEFINED else variable.value


def _compile(node_id: str, item: Any, types: Mapping[str, str | None]) -> _Declare | _Assign | _Invalid:
    if not isinstance(item, dict):
        return _Invalid("Variable assignment must be an object")
    operator, left = item.get("operator"), item.get("left")
    right = compile_value(item.get("right"))
    if operator == "declare":
        if not isinstance(left, str) or not left:
            return _Invalid('Variable declaration "left" must be a name')
        return _Declare(node_id, left, types.get(left), right)
    if operator == "assign":
        content = left.get("content") if isinstance(left, dict) and left.get("type") == "ref" else None
        if (
            not isinstance(content, list)
            or len(content) < 2
            or not all(isinstance(part, str) for part in content[:2])
        ):
            return _Invalid('Variable assignment "left" must be a ref to a variable')
        return _Assign(content[0], content[1], content[2:], right)
    return _Invalid(f'Unknown variable operator "{javascript.to_string(operator)}"')


def _replace(value: Any, path: Sequence[Any], new: Any, meter: Meter) -> Any:
    """The value with what lies at the path replaced: copies along the path, since values are shared between variables."""
    whole = [value]
    container: Any = whole
    member: int | str = 0
    for key in path:
        copy: Any
        inner: int | str
        if isinstance(value, list):
            index = javascript.array_index(key)
            if index is None or index >= len(value):
                raise NodeError(f'Variable path "{javascript.to_string(key)}" is not an index of the array')
            meter.spend(_COPIED_ITEM * len(value))
            meter.allocated += list_memory(len(value))
            copy, inner = [*value], index
            value = value[index]
        else:
            members = value if isinstance(value, dict) else {}
            meter.spend(_COPIED_MEMBER * len(members))
            meter.allocated += dict_memory(len(members) + 1)
            copy, inner = {**members}, javascript.to_string(key)
            value = copy.get(inner)
        container[member] = copy
        container, member = copy, inner
    container[member] = new
    return whole[0]
