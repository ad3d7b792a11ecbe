"""The compiler: turns the text of a workflow schema into a `Document`.

Ports, edges, bindings and templates are resolved here, once per schema and not once per task.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from flowgram_core.modeling import javascript, json_text
from flowgram_core.modeling.bindings import (
    InputsResolver,
    compile_inputs,
    compile_undeclared_inputs,
    parse_json_content,
)
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.document import DEFAULT_PORT, Declaration, Document, Edge, Graph, Node
from flowgram_core.modeling.errors import (
    JSONTextError,
    JSONTooLarge,
    NumberOutOfRange,
    Problem,
    SchemaInvalid,
)
from flowgram_core.modeling.normalization import normalize
from flowgram_core.modeling.schema import EdgeSchema, NodeSchema, WorkflowSchema
from flowgram_core.modeling.secret_references import (
    SecretReferences,
    SecretUses,
    find_secret_references,
)
from flowgram_core.modeling.simple_types import simple_types
from flowgram_core.modeling.validation import validate_schema
from flowgram_core.modeling.values import UNDEFINED, UNKNOWN

MAX_NAME: Final = 256
"""Characters of the id of a node, of a port, and of the name of an input, output or variable."""

_SLICE: Final = 1024 * 1024
"""Characters that are looked at in one go: about a millisecond."""

_DECLARATIONS = ("title", "inputs", "inputsValues", "outputs")


def digest(schema_text: str) -> bytes:
    """The identity of a schema: the SHA-256 of its text (32 bytes)."""
    found = hashlib.sha256()
    for start in range(0, len(schema_text), _SLICE):
        found.update(schema_text[start : start + _SLICE].encode("utf-8", "surrogatepass"))
    return found.digest()


def compile_schema(
    schema_text: str,
    *,
    max_memory: int | None = None,
    max_nodes: int | None = None,
    with_secrets: bool = True,
) -> Document:
    """Compiles the text of a workflow schema. Large ones, in a thread, hold up no other for long.

    Args:
        schema_text: The text.
        max_memory: So many bytes of memory it may take, read as JSON; None: as many as it takes, and any number of members.
        max_nodes: So many nodes it may have; None: any number.
        with_secrets: Whether it may name secrets of the server; else `secrets` is a node id like any other.

    Raises:
        SchemaInvalid: It has problems; with all of them.
    """
    schema = normalize(_read(schema_text, max_memory))
    problems = _too_many_nodes(schema, max_nodes) or validate_schema(schema)
    if problems:
        refused = [schema]
        del schema
        dispose(refused)
        raise SchemaInvalid(problems)
    workflow = WorkflowSchema.model_validate(schema)
    # Most workflows name none; in JSON, the word may hide behind escapes.
    may_name = with_secrets and (_contains(schema_text, "secrets") or _contains(schema_text, "\\u"))
    secrets = find_secret_references(workflow.nodes) if may_name else SecretReferences()
    root = _compile_graph(workflow.nodes, workflow.edges, "start", secrets.uses)
    declared = next(node.data.get("outputs") for node in workflow.nodes if node.type == "start")
    inputs_schema = declared if isinstance(declared, dict) else {}
    document = Document(
        digest=digest(schema_text),
        root=root,
        nodes=_count(root),
        inputs_schema=inputs_schema,
        inputs_schema_size=len(json_text.encode(inputs_schema)),
        simple_inputs=simple_types(inputs_schema),
        name_problems=tuple(_long_names(workflow.nodes, workflow.edges, "schema", "nodes")),
        secret_problems=secrets.problems,
        memory=2 * json_text.memory_bound(schema_text),
        global_variables=compile_declarations(workflow.global_variable),
        secrets=secrets.names,
    )
    read: list[Any] = [workflow, schema]
    del workflow, schema
    dispose(read)
    return document


def _read(text: str, max_memory: int | None) -> json_text.JSONValue:
    try:
        max_members = None if max_memory is None else json_text.MAX_MEMBERS
        return json_text.loads(text, max_memory=max_memory, max_members=max_members)
    except (JSONTooLarge, NumberOutOfRange) as error:
        problem = f"Workflow schema cannot be read: {error}"
    except JSONTextError as error:
        problem = f"Workflow schema is not valid JSON: {error}"
    raise SchemaInvalid((Problem("schema", problem),))


def _contains(text: str, word: str) -> bool:
    """Whether a text contains a word; of a long one a slice at a time."""
    overlap = len(word) - 1
    return any(word in text[start : start + _SLICE + overlap] for start in range(0, len(text), _SLICE))


def _too_many_nodes(schema: Any, limit: int | None) -> tuple[Problem, ...]:
    """The problem that there are, found before anything is made of each node."""
    if limit is None or not isinstance(schema, dict):
        return ()
    found = 0
    pending = [schema.get("nodes")]
    while pending:
        nodes = pending.pop()
        if isinstance(nodes, list):
            found += len(nodes)
            pending += [
                node.get("blocks") for node in nodes if isinstance(node, dict) and node.get("type") == "loop"
            ]
    return (too_many_nodes(found, limit),) if found > limit else ()


def too_many_nodes(nodes: int, limit: int) -> Problem:
    """What is wrong with a schema that has more nodes than it may."""
    return Problem(
        "schema.nodes", f"Workflow schema has {nodes} nodes, more than the limit max_nodes = {limit}"
    )


def _count(graph: Graph) -> int:
    return sum(1 if node.block is None else 1 + _count(node.block) for node in graph.nodes)


def _long_names(
    nodes: Sequence[NodeSchema], edges: Sequence[EdgeSchema], path: str, member: str
) -> Iterator[Problem]:
    """Problems of names that are too long: they are repeated in every event about what they name."""
    for index, edge in enumerate(edges):
        for name, port in (("sourcePortID", edge.source_port_id), ("targetPortID", edge.target_port_id)):
            yield from _long_name(f"{path}.edges[{index}].{name}", port)
    for index, node in enumerate(nodes):
        node_path = f"{path}.{member}[{index}]"
        yield from _long_name(f"{node_path}.id", node.id)
        yield from _long_name(f"{node_path}.type", node.type)
        data = node.data
        for declare in (data.get("outputs"), data.get("inputs")):
            properties = declare.get("properties") if isinstance(declare, dict) else None
            for name in properties if isinstance(properties, dict) else ():
                yield from _long_name(f"{node_path}.data", name)
        loop_outputs, assign = data.get("loopOutputs"), data.get("assign")
        for name in loop_outputs if isinstance(loop_outputs, dict) else ():
            yield from _long_name(f"{node_path}.data.loopOutputs", name)
        for item in assign if isinstance(assign, list) else ():
            yield from _long_name(
                f"{node_path}.data.assign", item.get("left") if isinstance(item, dict) else None
            )
        yield from _long_names(node.blocks or (), node.edges or (), node_path, "blocks")


def _long_name(path: str, name: object) -> Iterator[Problem]:
    if isinstance(name, str) and len(name) > MAX_NAME:
        shown = json_text.to_well_formed(name[:20])
        yield Problem(path, f'"{shown}…" has {len(name)} characters: a name may have {MAX_NAME} at most')


def _compile_graph(
    nodes: Sequence[NodeSchema],
    edges: Sequence[EdgeSchema],
    start_type: str,
    secrets: Mapping[str, SecretUses],
) -> Graph:
    positions = {node.id: position for position, node in enumerate(nodes)}
    outgoing: list[list[Edge]] = [[] for _ in nodes]
    for edge in edges:
        outgoing[positions[edge.source_node_id]].append(
            Edge(
                port=DEFAULT_PORT if edge.source_port_id is None else edge.source_port_id,
                target=positions[edge.target_node_id],
            )
        )
    start = next(position for position, node in enumerate(nodes) if node.type == start_type)
    waits = [0] * len(nodes)
    for position in _reachable(outgoing, start):
        for outgoing_edge in outgoing[position]:
            waits[outgoing_edge.target] += 1
    return Graph(
        nodes=tuple(
            _compile_node(node, tuple(outgoing[position]), waits[position], secrets)
            for position, node in enumerate(nodes)
        ),
        start=start,
    )


def _reachable(outgoing: Sequence[Sequence[Edge]], start: int) -> list[int]:
    found = [start]
    seen = {start}
    for position in found:
        for edge in outgoing[position]:
            if edge.target not in seen:
                seen.add(edge.target)
                found.append(edge.target)
    return found


def _compile_node(
    node: NodeSchema, edges: tuple[Edge, ...], waits: int, secrets: Mapping[str, SecretUses]
) -> Node:
    return Node(
        id=node.id,
        type=node.type,
        title=node.data.get("title") or f"{node.type}-{node.id}-untitled",
        data={key: value for key, value in node.data.items() if key not in _DECLARATIONS},
        resolve_inputs=_compile_inputs(node),
        outputs=compile_declarations(node.data.get("outputs")),
        edges=edges,
        waits=waits,
        # Blocks of other node types are no part of the flow.
        block=_compile_graph(node.blocks or (), node.edges or (), "block-start", secrets)
        if node.type == "loop" and node.blocks is not None
        else None,
        secrets=secrets.get(node.id, {}),
    )


def _compile_inputs(node: NodeSchema) -> InputsResolver:
    values, declare = node.data.get("inputsValues"), node.data.get("inputs")
    # FlowGram's editor declares the inputs of other nodes, and not always those of scripts.
    if node.type == "code" and declare is None:
        return compile_undeclared_inputs(values)
    return compile_inputs(values, declare)


def compile_declarations(declare: Any) -> tuple[Declaration, ...]:
    """The variables that a JSON schema of type object declares; none for any other."""
    if not isinstance(declare, dict) or declare.get("type") != "object":
        return ()
    properties = declare.get("properties")
    if not isinstance(properties, dict):
        return ()
    return tuple(
        _compile_declaration(key, schema)
        for key, schema in properties.items()
        if key and javascript.truthy(schema)
    )


def _compile_declaration(key: str, schema: Any) -> Declaration:
    schema = schema if isinstance(schema, dict) else {}
    declared_type = schema.get("type")
    declared_type = declared_type if isinstance(declared_type, str) and declared_type != UNKNOWN else None
    items = schema.get("items")
    items_type = items.get("type") if isinstance(items, dict) else None
    return Declaration(
        key=key,
        type=declared_type,
        items_type=items_type if isinstance(items_type, str) else None,
        default=parse_json_content(schema.get("default", UNDEFINED), declared_type),
    )
