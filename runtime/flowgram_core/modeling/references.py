"""References: bindings to a variable of a node, or to what lies inside one."""

from collections.abc import Sequence
from typing import Any

from flowgram_core.modeling import javascript
from flowgram_core.modeling.scope import Binding, Scope
from flowgram_core.modeling.values import UNDEFINED, Variable, variable_of


class VariableBinding(Binding):
    """`{"type": "ref", "content": [node, key]}`: a variable, which is found without any work that counts.

    Attributes:
        node_id: Its node.
        key: Its key there.
    """

    __slots__ = ("key", "node_id")

    def __init__(self, node_id: str, key: str) -> None:
        self.node_id = node_id
        self.key = key

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """The variable."""
        return scope.lookup(self.node_id, self.key)


class PathBinding(Binding):
    """`{"type": "ref", "content": [node, key, …path]}`: what lies inside a variable."""

    __slots__ = ("_key", "_node_id", "_path")

    def __init__(self, node_id: str, key: str, path: Sequence[Any]) -> None:
        self._node_id = node_id
        self._key = key
        self._path = tuple(path)

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """What lies there, with the type it really has."""
        variable = scope.lookup(self._node_id, self._key)
        if variable is None:
            return None
        value = javascript.get_path(variable.value, self._path, scope.meter)
        if value is UNDEFINED:
            return None
        return variable_of(value)


class AbsentBinding(Binding):
    """A binding that never has a value, such as a reference that names no variable."""

    __slots__ = ()

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:  # noqa: ARG002
        """None."""
        return None


def compile_path(content: Any) -> Binding:
    """The binding of a path `[node, key, …path]`; anything else is absent."""
    if not isinstance(content, list) or len(content) < 2:
        return AbsentBinding()
    node_id, key, *path = content
    if not isinstance(node_id, str) or not isinstance(key, str):
        return AbsentBinding()
    return PathBinding(node_id, key, path) if path else VariableBinding(node_id, key)
