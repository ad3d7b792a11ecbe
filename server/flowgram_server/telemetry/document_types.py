"""The types of nodes by their ids, kept per document: events have the ids only, and metrics need the types."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from flowgram_core.modeling.document import Document, Graph

_KEPT_NODES: Final = 100_000
"""Nodes of all documents whose types are kept."""


_T = TypeVar("_T")


class DocumentTypes(Generic[_T]):
    """Keeps what was made of the types of the documents that were looked at last.

    Args:
        make: Makes it of the type of each node of a document, blocks included.
    """

    def __init__(self, make: Callable[[Mapping[str, str]], _T]) -> None:
        self._make = make
        self._documents: OrderedDict[bytes, tuple[_T, int]] = OrderedDict()
        self._kept_nodes = 0

    def of(self, document: Document) -> _T:
        """What was made for a document; all of its tasks share it."""
        kept = self._documents.get(document.digest)
        return self._add(document) if kept is None else kept[0]

    def _add(self, document: Document) -> _T:
        types = dict(_types_in(document.root))
        made = self._make(types)
        self._documents[document.digest] = made, len(types)
        self._kept_nodes += len(types)
        while self._kept_nodes > _KEPT_NODES and len(self._documents) > 1:
            _, (_, nodes) = self._documents.popitem(last=False)
            self._kept_nodes -= nodes
        return made


def _types_in(graph: Graph) -> Iterator[tuple[str, str]]:
    graphs = [graph]
    while graphs:
        for node in graphs.pop().nodes:
            yield node.id, node.type
            if node.block is not None:
                graphs.append(node.block)
