"""Pure behavior: what a node does that needs nothing from outside, and the scope that it runs in.

These are base classes, not protocols: every node run goes through them, and compiled code calls their methods directly.
"""

from collections.abc import Callable
from typing import NamedTuple

from mypy_extensions import mypyc_attr

from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.scope import Scope
from flowgram_core.modeling.values import Variable


@mypyc_attr(allow_interpreted_subclasses=True)
class RunScope(Scope):
    """The variables that a running node sees, and may set."""

    __slots__ = ()

    @property
    def task_inputs(self) -> JSONObject:
        """The inputs of the task."""
        raise NotImplementedError

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        """Makes or replaces a variable in the innermost scope."""
        raise NotImplementedError

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        """Replaces a variable in the nearest scope that knows the node; False if there is none."""
        raise NotImplementedError


class NodeResult(NamedTuple):
    """The result of a node run: its outputs, and the chosen port if the node branches."""

    outputs: JSONObject
    branch: str = ""


@mypyc_attr(allow_interpreted_subclasses=True)
class PureBehavior:
    """A node that needs nothing from outside.

    Node types that come with the project override `run`; others give a function.

    Args:
        function: Takes the scope and the node's inputs. Raises `NodeError` (or `BindingError`) when the node fails.
    """

    __slots__ = ("function",)

    def __init__(self, function: Callable[[RunScope, JSONObject], NodeResult] | None = None) -> None:
        self.function = function

    def run(self, scope: RunScope, inputs: JSONObject) -> NodeResult:
        """The result of a run. Raises what the function raises."""
        if self.function is None:
            raise NotImplementedError
        return self.function(scope, inputs)
