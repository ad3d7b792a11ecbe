"""The scope: the variables that a running node can see; and bindings, which are resolved in it."""

from typing import Protocol

from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import Variable


class Scope(Protocol):
    """The variables that a running node can see."""

    @property
    def meter(self) -> Meter:
        """Counts the work of resolving bindings, and the memory that they allocate."""
        ...

    def spend(self, size: int) -> int:
        """Counts characters of text that a binding makes; returns how many more this node run may make.

        Raises `BindingError` beyond the limit.
        """
        ...

    def lookup(self, node_id: str, key: str) -> Variable | None:
        """The variable of a node in the nearest scope that knows the node, or None."""
        ...


class Binding(Protocol):
    """A compiled value binding."""

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:
        """The value with its type, or None where it is absent. Raises `BindingError`."""
        ...
