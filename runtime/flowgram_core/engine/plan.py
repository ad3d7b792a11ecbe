"""The plan: a graph linked with node types, ready to run.

For every node it holds the bound behavior, and the decisions about all of its outgoing edges, for every port that the node
may choose, so that a running task only walks tuples.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, final

from flowgram_core.engine.isolation import bind
from flowgram_core.engine.node_type import Behavior, CallBehavior, NodeTypes, PureBehavior
from flowgram_core.modeling.bindings import InputsResolver, compile_reference, no_inputs
from flowgram_core.modeling.document import Declaration, Graph, Node
from flowgram_core.modeling.references import VariableBinding
from flowgram_core.modeling.scope import Binding
from flowgram_core.modeling.values import UNDEFINED

Decisions = tuple[tuple[int, bool], ...]
"""The decisions about a node's outgoing edges, in the order of the schema: (target position, taken)."""

_LEAVES: Final = frozenset({"end", "block-end", "break", "continue"})
"""Node types that may be the last of their path."""


_FEW_PORTS: Final = 16
_FEW_DECISIONS: Final = 4096
"""For more, a node's way out is computed each time that it runs: kept for all, they take ports times edges."""

VARIABLE_BYTES: Final = 160
"""About how many bytes of memory a variable takes beside its value."""

_EVENT_BYTES: Final = 100
"""About how many bytes an event has besides names, inputs and outputs."""


@final
class Way:
    """What follows when a node has run and left by one of its ports.

    Attributes:
        decisions: Those about all of its outgoing edges.
        only: The position of the step that is ready by that, where the node has one edge, which is the only one that the step
            waits for; else -1.
    """

    __slots__ = ("decisions", "only")

    def __init__(self, decisions: Decisions, only: int) -> None:
        self.decisions = decisions
        self.only = only


class Control(Enum):
    """What the engine itself does when a node of a control type has run."""

    NONE = 0
    END = 1
    BREAK = 2
    CONTINUE = 3


# Members of enums are found by a search.
NO_CONTROL: Final = Control.NONE
END: Final = Control.END
BREAK: Final = Control.BREAK

_CONTROLS: Final = {"end": Control.END, "break": Control.BREAK, "continue": Control.CONTINUE}


class LoopPlan:
    """How a loop node runs: the array it iterates over, its block, and what it collects.

    Attributes:
        variables: The node ids and keys of what it collects, where that are variables alone; else None.
    """

    __slots__ = ("block", "items", "locals_id", "outputs", "variables")

    def __init__(self, node: Node, block: "Plan | None") -> None:
        self.block = block
        self.items: Binding = compile_reference(node.data.get("loopFor", UNDEFINED))
        declared = node.data.get("loopOutputs")
        self.outputs = tuple(
            (name, compile_reference(reference))
            for name, reference in (declared.items() if isinstance(declared, dict) else ())
        )
        references = [reference for _, reference in self.outputs]
        variables = [(each.node_id, each.key) for each in references if isinstance(each, VariableBinding)]
        self.variables = tuple(variables) if len(variables) == len(references) else None
        self.locals_id = f"{node.id}_locals"


class Output:
    """A variable that a node declares, as `Declaration` has it."""

    __slots__ = ("default", "items_type", "key", "type")

    def __init__(self, declaration: Declaration) -> None:
        self.key = declaration.key
        self.type = declaration.type
        self.items_type = declaration.items_type
        self.default: Any = declaration.default


class Step:
    """A node as the engine runs it.

    Attributes:
        ways: By port, "" for none: what follows. Ports of a node that has many are missing; see `way`.
    """

    __slots__ = (
        "_edges", "_ports", "control", "event_bytes", "id", "key", "loop", "node", "outputs",
        "outputs_memory", "prepare", "pure", "resolve_inputs", "skipped", "ways",
    )  # fmt: skip

    def __init__(self, node: Node, behavior: Behavior | None, loop: LoopPlan | None) -> None:
        self.node = node
        self.id = node.id
        self.key = _escape(node.id)
        self.pure = behavior if isinstance(behavior, PureBehavior) else None
        self.prepare = behavior.prepare if isinstance(behavior, CallBehavior) else None
        self.loop = loop
        self.control = _CONTROLS.get(node.type, Control.NONE)
        self.resolve_inputs: InputsResolver | None = (
            None if node.resolve_inputs is no_inputs else node.resolve_inputs
        )
        self.outputs: tuple[Output, ...] = tuple(Output(declaration) for declaration in node.outputs)
        self.outputs_memory: int = VARIABLE_BYTES * len(node.outputs)
        self.skipped: Decisions = tuple((edge.target, False) for edge in node.edges)
        self.ways: dict[str, Way] = {}
        self._edges = node.edges
        self._ports = frozenset(edge.port for edge in node.edges)
        inner = 0 if loop is None or loop.block is None else loop.block.event_bytes
        self.event_bytes: int = (
            inner + _EVENT_BYTES + 3 * len(self.key) + max(map(len, self._ports), default=0)
        )

    def link(self, waits: Sequence[int]) -> None:
        """Computes the ways out of the node, given how many decisions each node of the graph waits for."""
        ways = self.ways = {}
        if len(self._ports) <= _FEW_PORTS and len(self._ports) * len(self._edges) <= _FEW_DECISIONS:
            for port in self._ports:
                ways[port] = _way(self._decisions(port), waits)
        ways.pop("", None)
        if self.node.type in _LEAVES:
            # A path ends at its leaf, even if edges lead on from there.
            ways[""] = _way(self.skipped, waits)
        elif self._edges:
            ways[""] = _way(tuple((edge.target, True) for edge in self._edges), waits)

    def way(self, port: str) -> Way | None:
        """What follows if the node leaves by a port; None if it has no such port."""
        if port and port not in self.ways and port in self._ports:
            return Way(self._decisions(port), -1)
        return self.ways.get(port)

    def _decisions(self, port: str) -> Decisions:
        return tuple((edge.target, edge.port == port) for edge in self._edges)


def _way(decisions: Decisions, waits: Sequence[int]) -> Way:
    only = -1
    if len(decisions) == 1:
        target, taken = decisions[0]
        if taken and waits[target] == 1:
            only = target
    return Way(decisions, only)


class Plan:
    """A graph as the engine runs it: its steps by position, and how many decisions each waits for.

    Attributes:
        event_bytes: About how many bytes an event of a node has at most, its inputs and outputs aside.
        unreached: For each step, that none of its incoming edges was taken: what a frame begins with.
    """

    __slots__ = ("event_bytes", "start", "steps", "unreached", "waits")

    def __init__(self, graph: Graph, node_types: NodeTypes) -> None:
        self.steps = tuple(_link(node, node_types) for node in graph.nodes)
        self.waits = [node.waits for node in graph.nodes]
        self.unreached = bytearray(len(self.steps))
        for step in self.steps:
            step.link(self.waits)
        self.start = self.steps[graph.start]
        self.event_bytes: int = max(step.event_bytes for step in self.steps)


def _link(node: Node, node_types: NodeTypes) -> Step:
    if node.type == "loop":
        block = None if node.block is None else Plan(node.block, node_types)
        return Step(node, None, LoopPlan(node, block))
    node_type = node_types.get(node.type)
    return Step(node, None if node_type is None else bind(node_type, node), None)


def _escape(node_id: str) -> str:
    """Keeps identities made of node ids unambiguous, whatever characters an id has."""
    return node_id.replace("%", "%25").replace("/", "%2F").replace("[", "%5B")
