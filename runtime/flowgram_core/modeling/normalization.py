"""Normalization of a workflow schema: the shapes that the editor also saves become the ones that the rules are about.

- Nodes of the picture (comments, groups) may lack `meta` and `data`; null is as if they lacked them.
- Port ids may be numbers.
- A group may hold its nodes and edges as blocks; they belong to the graph around it.
"""

from typing import Any

from flowgram_core.modeling import javascript

LAYOUT_TYPES = frozenset({"comment", "group"})
"""Node types that are part of the picture only."""

_PORTS = ("sourcePortID", "targetPortID")


def normalize(schema: Any) -> Any:
    """A schema in the shape that validation and compilation expect; what is malformed stays as it is.

    Args:
        schema: A JSON value. It is changed in place.
    """
    pending = [(schema, "nodes")]
    while pending:
        graph, member = pending.pop()
        if not isinstance(graph, dict):
            continue
        nodes, edges = graph.get(member), graph.get("edges")
        if isinstance(nodes, list):
            nodes = graph[member] = _without_groups(nodes, edges)
            for node in nodes:
                if isinstance(node, dict):
                    _complete(node)
                    if "blocks" in node:
                        pending.append((node, "blocks"))
        if isinstance(edges, list):
            for edge in edges:
                if isinstance(edge, dict):
                    _name_ports(edge)
    return schema


def _without_groups(nodes: list[Any], edges: Any) -> list[Any]:
    """The nodes with those that groups hold behind them; the edges of the groups are added to the edges."""
    if not any(_holds_blocks(node) for node in nodes):
        return nodes
    found: list[Any] = []
    pending = nodes[::-1]
    while pending:
        node = pending.pop()
        found.append(node)
        if _holds_blocks(node):
            pending += reversed(node.pop("blocks"))
            inner = node.pop("edges", None)
            if isinstance(edges, list) and isinstance(inner, list):
                edges += inner
    return found


def _holds_blocks(node: Any) -> bool:
    return isinstance(node, dict) and node.get("type") == "group" and isinstance(node.get("blocks"), list)


def _complete(node: dict[str, Any]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str) or kind not in LAYOUT_TYPES:
        return
    for member in ("meta", "data"):
        if node.get(member) is None:
            node[member] = {}
    for member in ("blocks", "edges"):
        if member in node and node[member] is None:
            del node[member]


def _name_ports(edge: dict[str, Any]) -> None:
    for member in _PORTS:
        port = edge.get(member)
        if isinstance(port, int | float) and not isinstance(port, bool):
            edge[member] = javascript.to_string(port)
