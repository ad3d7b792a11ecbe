"""The node type interface: all that the engine knows of a node type.

A node type is *bound* to each of its nodes once per document. The resulting behavior either computes the node's
result inside the core (`PureBehavior`), or prepares a call that the host makes (`CallBehavior`). Both must be
deterministic: a task is rebuilt after a crash by running them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.scope import Scope
from flowgram_core.modeling.values import Variable


class RunScope(Scope, Protocol):
    """The variables that a running node sees, and may set."""

    @property
    def task_inputs(self) -> JSONObject:
        """The inputs of the task."""
        ...

    def declare(self, node_id: str, key: str, variable: Variable) -> None:
        """Makes or replaces a variable in the innermost scope."""
        ...

    def assign(self, node_id: str, key: str, variable: Variable) -> bool:
        """Replaces a variable in the nearest scope that knows the node; False if there is none."""
        ...


class NodeResult(NamedTuple):
    """The result of a node run: its outputs, and the chosen port if the node branches."""

    outputs: JSONObject
    branch: str = ""


@dataclass(frozen=True, slots=True)
class PureBehavior:
    """A node that needs nothing from outside.

    Attributes:
        run: Takes the scope and the node's inputs. Raises `NodeError` (or `BindingError`) when the node fails.
    """

    run: Callable[[RunScope, JSONObject], NodeResult]


@dataclass(frozen=True, slots=True)
class CallBehavior:
    """A node that the host executes.

    Attributes:
        prepare: Takes the scope and the node's inputs, and gives the inputs of the call, which the snapshot shows.
            Raises `NodeError` (or `BindingError`) when the node fails before anything is called.
    """

    prepare: Callable[[RunScope, JSONObject], JSONObject]


Behavior = PureBehavior | CallBehavior


class NodeType(Protocol):
    """A kind of node, by the name that schemas use."""

    @property
    def type(self) -> str:
        """The node type, such as `llm`."""
        ...

    def bind(self, node: Node) -> Behavior:
        """The behavior of one node. Errors in the node's data are raised when it runs, not here."""
        ...


class Trusted:
    """Direct base class of node types that keep the rules: they return JSON, and never change what they are given.

    They skip the copies and checks that all others go through. A subclass of such a type is not trusted.
    """

    __slots__ = ()


def is_trusted(node_type: object) -> bool:
    """Whether a node type needs no copies and checks."""
    return Trusted in type(node_type).__bases__


@runtime_checkable
class PinningNodeType(NodeType, Protocol):
    """A node type with settings that affect what it prepares, and so the log: a task keeps those it was accepted with."""

    @property
    def pins(self) -> JSONObject:
        """These settings, so far as they differ from constants that never change: a log without them stands for those."""
        ...

    def pinned(self, pins: JSONObject) -> NodeType:
        """The node type with such settings in place of its own. It is only bound."""
        ...


NodeTypes = Mapping[str, NodeType]
"""Node types by name, as the composition root provides them."""


class Call(NamedTuple):
    """A command for the host: execute this node.

    Attributes:
        key: The identity of the call in its task, the same after a restart; also the snapshot id of the node run.
        node: The node; its `data` is that of the schema.
        inputs: The prepared inputs, a JSON object, with secrets unmasked.
    """

    key: str
    node: Node
    inputs: dict[str, Any]


class CancelCall(NamedTuple):
    """A command for the host: stop this call; its outcome is no longer wanted."""

    key: str


Command = Call | CancelCall
