"""The node type interface: all that the engine knows of a node type.

A node type is *bound* to each of its nodes once per document. The resulting behavior either computes the node's
result inside the core (`PureBehavior`), or prepares a call that the host makes (`CallBehavior`). Both must be
deterministic: a task is rebuilt after a crash by running them again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from flowgram_core.engine.pure_behavior import NodeResult, PureBehavior, RunScope
from flowgram_core.modeling.document import Node
from flowgram_core.modeling.json_text import JSONObject

__all__ = [
    "Behavior",
    "Call",
    "CallBehavior",
    "CancelCall",
    "Command",
    "NodeResult",
    "NodeType",
    "NodeTypes",
    "PinningNodeType",
    "PureBehavior",
    "RunScope",
    "Trusted",
    "is_trusted",
]


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
