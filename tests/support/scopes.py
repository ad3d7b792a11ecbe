"""Variables for nodes and bindings that run without the engine."""

from typing import Any

from flowgram_core.engine.node_type import RunScope
from flowgram_core.modeling.errors import BindingError
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import Variable, type_of


class Variables(RunScope):
    """A scope of variables by `node.key`; plain values have the types that they show.

    Attributes:
        task_inputs: The inputs of the task.
        meter: Counts work and memory.
        texts: Characters that bindings may make; they get fewer.
    """

    texts = 1_000_000

    def __init__(
        self, variables: dict[str, Any] | None = None, task_inputs: dict[str, Any] | None = None
    ) -> None:
        self._task_inputs = task_inputs or {}
        self.meter = Meter()
        self._variables = {
            name: value if isinstance(value, Variable) else Variable(value, type_of(value))
            for name, value in (variables or {}).items()
        }

    @property
    def task_inputs(self) -> dict[str, Any]:
        return self._task_inputs

    def spend(self, size: int) -> int:
        self.texts -= size
        if self.texts < 0:
            raise BindingError("too large")
        return self.texts

    def lookup(self, node_id: str, key: str) -> Variable | None:
        return self._variables.get(f"{node_id}.{key}")

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        self._variables[f"{node_id}.{key}"] = variable

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        known = f"{node_id}.{key}" in self._variables
        if known:
            self.declare(node_id, key, variable)
        return known
