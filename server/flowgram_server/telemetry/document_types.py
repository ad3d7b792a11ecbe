"""The types of the nodes of documents, by their ids: events name nodes alone."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Final

from flowgram_core.modeling.document import Document, Graph

_KEPT_NODES: Final = 100_000
"""Nodes of all documents whose types are kept."""


class DocumentTypes:
    """Keeps the types of the documents that were looked at last."""

    def __init__(self) -> None:
        self._documents: OrderedDict[bytes, Mapping[str, str]] = OrderedDict()
        self._kept_nodes = 0

    def of(self, document: Document) -> Mapping[str, str]:
        """The type of each node of a document, blocks included."""
        types = self._documents.get(document.digest)
        if types is None:
            types = self._documents[document.digest] = dict(_types_in(document.root))
            self._kept_nodes += len(types)
            while self._kept_nodes > _KEPT_NODES and len(self._documents) > 1:
                _, oldest = self._documents.popitem(last=False)
                self._kept_nodes -= len(oldest)
        return types


def _types_in(graph: Graph) -> Iterator[tuple[str, str]]:
    graphs = [graph]
    while graphs:
        for node in graphs.pop().nodes:
            yield node.id, node.type
            if node.block is not None:
                graphs.append(node.block)
