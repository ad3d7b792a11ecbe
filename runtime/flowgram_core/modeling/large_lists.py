"""Lists that grow to millions of items without being copied.

A list that has outgrown its memory gets a larger block. Up to some megabytes the C library copies what is there into it, and
the kernel hands out each page of it anew: 24 ms for 20 MB, in which the interpreter does nothing else. A block that is mapped by itself
grows where it is, or is moved page by page, in half a millisecond.
"""

from collections.abc import Iterator
from typing import Any, Final

LARGE: Final = 32_768
"""Items from which on it is worth while."""

_MAPPED: Final = 4_400_000
"""Items of a block that every C library maps by itself: the GNU one raises its bound to 32 MiB at most."""


class _Announced:
    """Nothing, announced as many items: a list makes room for those, which it gives back when none come."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __length_hint__(self) -> int:
        return _MAPPED


_ANNOUNCED: Final = _Announced()


def let_grow(values: list[Any]) -> None:
    """Moves a list into a block that is mapped by itself. The room that it has for a moment is never used, and takes no memory."""
    values.extend(_ANNOUNCED)
