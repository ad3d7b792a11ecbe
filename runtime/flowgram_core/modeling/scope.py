"""The scope: the variables that a running node can see; and bindings, which are resolved in it."""

from mypy_extensions import mypyc_attr

from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.values import Variable


@mypyc_attr(allow_interpreted_subclasses=True)
class Scope:
    """The variables that a running node can see. A base class, not a protocol: compiled code calls its methods directly.

    Attributes:
        meter: Counts the work of resolving bindings, and the memory that they allocate.
    """

    __slots__ = ("meter",)

    meter: Meter

    def spend(self, size: int) -> int:
        """Counts characters of text that a binding makes; returns how many more this node run may make.

        Raises `BindingError` beyond the limit.
        """
        raise NotImplementedError

    def lookup(self, node_id: str, key: str) -> Variable | None:
        """The variable of a node in the nearest scope that knows the node, or None."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Binding:
    """A compiled value binding."""

    __slots__ = ()

    def resolve(self, scope: Scope, declared_type: str | None = None) -> Variable | None:
        """The value with its type, or None where it is absent. Raises `BindingError`."""
        raise NotImplementedError
