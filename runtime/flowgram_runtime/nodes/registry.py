"""The registry of node types: the built-in ones, listed one by one, and those of other packages.

A package adds a node type by an entry point in the group `flowgram_runtime.node_types`, whose object is called without
arguments and gives a `NodeType` (a class will do). Its name takes precedence over a built-in one, so that a package can
also replace how `llm` or `http` is done.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import entry_points

from flowgram_runtime.engine.node_type import NodeType
from flowgram_runtime.nodes.condition import ConditionNode
from flowgram_runtime.nodes.end import EndNode
from flowgram_runtime.nodes.executor import Executor
from flowgram_runtime.nodes.marks import MarkNode
from flowgram_runtime.nodes.start import StartNode
from flowgram_runtime.nodes.variable import VariableNode

ENTRY_POINT_GROUP = "flowgram_runtime.node_types"

LOOP = "loop"
"""The one type whose running is the engine's own."""


def pure_node_types() -> tuple[NodeType, ...]:
    """The built-in node types that need nothing from outside."""
    return (
        StartNode(),
        EndNode(),
        ConditionNode(),
        ConditionNode("multi-condition"),
        MarkNode("block-start"),
        MarkNode("block-end"),
        MarkNode("break"),
        MarkNode("continue"),
        VariableNode(),
    )


def installed_node_types() -> tuple[NodeType, ...]:
    """The node types that installed packages add."""
    return tuple(entry.load()() for entry in entry_points(group=ENTRY_POINT_GROUP))


class Registry:
    """Node types by name; of two with one name, the later counts.

    Attributes:
        node_types: For the engine, by name.
        executors: Those among them that make calls, by name.
    """

    def __init__(self, node_types: Iterable[NodeType]) -> None:
        self.node_types: Mapping[str, NodeType] = {node_type.type: node_type for node_type in node_types}
        self.executors: Mapping[str, Executor] = {
            name: node_type for name, node_type in self.node_types.items() if isinstance(node_type, Executor)
        }

    @property
    def names(self) -> tuple[str, ...]:
        """All node types that workflows may use, in alphabetical order."""
        return tuple(sorted({*self.node_types, LOOP}))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Registry"]:
        """Enters those node types that hold resources, and leaves them at the end."""
        async with AsyncExitStack() as stack:
            for node_type in self.node_types.values():
                if isinstance(node_type, AbstractAsyncContextManager):
                    await stack.enter_async_context(node_type)
            yield self
