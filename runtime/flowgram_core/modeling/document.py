"""The Document: a compiled workflow schema, immutable, shared by all tasks that run it.

Nodes of one graph refer to each other by their position in it, so that a running task needs no look-ups by name, and the
document holds no cycles.
"""

from dataclasses import dataclass, field
from typing import Any

from flowgram_core.modeling.bindings import InputsResolver
from flowgram_core.modeling.disposal import Disposable
from flowgram_core.modeling.errors import Problem
from flowgram_core.modeling.json_text import JSONObject
from flowgram_core.modeling.secret_references import SecretUses
from flowgram_core.modeling.simple_types import SimpleTypes
from flowgram_core.modeling.values import Variable, variable_of

DEFAULT_PORT = "defaultOutput"
"""The port of an edge that names none."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A variable that a node's `outputs` (or `globalVariable`) declares.

    Attributes:
        key: Its name.
        type: The declared type; None where none is, or `unknown`: then a value has its own.
        items_type: For arrays, the declared type of the items.
        default: The value where the node outputs none; `UNDEFINED` where none is declared.
    """

    key: str
    type: str | None
    items_type: str | None
    default: Any

    def variable(self, value: Any) -> Variable:
        """The variable for an output; None stands for one that is null or missing."""
        if value is None:
            value = self.default
        if self.type is None:
            return variable_of(value)
        return Variable(value, self.type, self.items_type)


@dataclass(frozen=True, slots=True)
class Edge:
    """A connection from a port of its node to another node of the same graph.

    Attributes:
        port: The source port.
        target: The position of the target node in the graph.
    """

    port: str
    target: int


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A node of the workflow.

    Attributes:
        id: As in the schema, unique in the document.
        type: The node type, such as `llm`.
        title: Its name for people.
        data: The node's data from the schema, without title, inputs, inputsValues and outputs.
        resolve_inputs: Takes the node's inputs from a scope; raises `BindingError`.
        outputs: The variables that it declares.
        edges: The outgoing edges, in the order of the schema.
        waits: How many incoming edges come from nodes that can be reached from the start.
        block: The sub-graph of a loop.
        secrets: Which secrets stand in which fields of its calls.
    """

    id: str
    type: str
    title: str
    data: JSONObject
    resolve_inputs: InputsResolver
    outputs: tuple[Declaration, ...] = ()
    edges: tuple[Edge, ...] = ()
    waits: int = 0
    block: "Graph | None" = None
    secrets: SecretUses = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The workflow itself, or the block of a loop.

    Attributes:
        nodes: In the order of the schema.
        start: The position of the start or block-start node.
    """

    nodes: tuple[Node, ...]
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class Document(Disposable):
    """A compiled workflow.

    Attributes:
        digest: SHA-256 of the schema's text.
        root: The top-level graph.
        nodes: How many there are, blocks included.
        inputs_schema: What the start node declares as the workflow's inputs (FlowGram's kind of JSON schema).
        inputs_schema_size: How long that is as JSON text, in bytes.
        simple_inputs: The types of the inputs where these are a few simple values; see `simple_types`.
        name_problems: Names that are too long for a new task.
        secret_problems: References to secrets that a new task may not have.
        memory: Bytes of memory that the document takes, at most about.
        global_variables: Declared under node id `global`.
        secrets: The names of secrets of the server, which are known under node id `secrets`.
    """

    digest: bytes
    root: Graph
    nodes: int
    inputs_schema: JSONObject
    inputs_schema_size: int
    simple_inputs: SimpleTypes | None = None
    name_problems: tuple[Problem, ...] = ()
    secret_problems: tuple[Problem, ...] = ()
    memory: int = 0
    global_variables: tuple[Declaration, ...] = ()
    secrets: tuple[str, ...] = ()
