"""The registry of node types: the built-in ones, listed one by one, and those of other packages.

A package adds a node type by an entry point in the group `flowgram_core.node_types`, whose object is called without
arguments and gives a `NodeType` (a class will do). Its name takes precedence over a built-in one, so that a package can
also replace how `llm` or `http` is done.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib.metadata import EntryPoint, entry_points

from flowgram_core.engine.node_type import NodeType
from flowgram_core.nodes.condition.node import ConditionNode
from flowgram_core.nodes.end import EndNode
from flowgram_core.nodes.errors import NodeTypeUnusable
from flowgram_core.nodes.executor import Executor
from flowgram_core.nodes.markers import MarkerNode
from flowgram_core.nodes.start import StartNode
from flowgram_core.nodes.variable import VariableNode

ENTRY_POINT_GROUP = "flowgram_core.node_types"

LOOP = "loop"
"""The one type whose running is the engine's own."""


def pure_node_types() -> tuple[NodeType, ...]:
    """The built-in node types that need nothing from outside."""
    return (
        StartNode(),
        EndNode(),
        ConditionNode(),
        ConditionNode("multi-condition"),
        MarkerNode("block-start"),
        MarkerNode("block-end"),
        MarkerNode("break"),
        MarkerNode("continue"),
        VariableNode(),
    )


def installed_node_types() -> tuple[NodeType, ...]:
    """The node types that installed packages add. Raises `NodeTypeUnusable` for the first that is none."""
    return tuple(map(_load, entry_points(group=ENTRY_POINT_GROUP)))


def _load(entry: EntryPoint) -> NodeType:
    package = "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
    source = f'the node type "{entry.name} = {entry.value}" of {package}'
    try:
        node_type: NodeType = entry.load()()
        problem = _problem(node_type)
    except Exception as error:
        raise NodeTypeUnusable(source, _on_one_line(error)) from error
    if problem is not None:
        raise NodeTypeUnusable(source, problem)
    return node_type


def _problem(node_type: object) -> str | None:
    name = getattr(node_type, "type", None)
    if not isinstance(name, str) or not name:
        return "its attribute type is no text that names a node type"
    if name == LOOP:
        return f'the type "{LOOP}" belongs to the engine, and cannot be replaced'
    if not callable(getattr(node_type, "bind", None)):
        return "it has no method bind"
    return None


def _on_one_line(error: Exception) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


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
        """Enters those node types that hold resources, and leaves them at the end.

        Raises:
            NodeTypeUnusable: One could not be entered; those before it have been left.
        """
        async with AsyncExitStack() as stack:
            for name, node_type in self.node_types.items():
                if isinstance(node_type, AbstractAsyncContextManager):
                    try:
                        await stack.enter_async_context(node_type)
                    except Exception as error:
                        raise NodeTypeUnusable(f'the node type "{name}"', _on_one_line(error)) from error
            yield self
