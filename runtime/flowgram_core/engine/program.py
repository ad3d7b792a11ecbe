"""The program: a document linked with node types, ready to run. One per document, shared by its tasks."""

from dataclasses import dataclass

from flowgram_core.engine.node_type import NodeTypes
from flowgram_core.engine.plan import Plan
from flowgram_core.modeling.disposal import Disposable
from flowgram_core.modeling.document import Document


@dataclass(frozen=True, slots=True, eq=False)
class Program(Disposable):
    """A document, linked."""

    document: Document
    root: Plan


def link(document: Document, node_types: NodeTypes) -> Program:
    """Binds the node types to the nodes of a document."""
    return Program(document, Plan(document.root, node_types))
