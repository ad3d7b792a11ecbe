"""The types of the nodes of a document, by their ids: events name nodes alone."""

from collections.abc import Iterator

from flowgram_core.modeling.document import Graph


def types_in(graph: Graph) -> Iterator[tuple[str, str]]:
    """The id and the type of each node, blocks included."""
    graphs = [graph]
    while graphs:
        for node in graphs.pop().nodes:
            yield node.id, node.type
            if node.block is not None:
                graphs.append(node.block)
