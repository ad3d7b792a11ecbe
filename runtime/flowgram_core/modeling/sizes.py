"""Sizes of values: about how long a value is as JSON text, and how much memory it takes, estimated without writing the text.

Values share their parts: a workflow can put a large one many times into another at no cost; only the text would be large.
"""

from collections.abc import Iterable
from typing import Any, Final

from flowgram_core.modeling import large_sizes
from flowgram_core.modeling.large_sizes import utf8_length
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.small_sizes import (
    FEW,
    SMALL,
    dict_memory,
    list_memory,
    small_memory_of,
    small_size_of,
    text_memory,
)

__all__ = ["dict_memory", "list_memory", "memory_of", "size_of", "text_memory", "too_large", "utf8_length"]

_PARTS: Final = 64
"""Parts of a value that is small where no work is counted."""
_UNLIMITED: Final = 2**63 - 1


def size_of(value: Any, limit: int, meter: Meter | None = None) -> int:
    """How many bytes a JSON value has as text, about; more than the limit, and no more exactly, where it exceeds that.

    The work is in proportion to the size that is found: no part of a value counts for less than two bytes.
    """
    if meter is None:
        size = small_size_of(value, limit, _PARTS)
    else:
        size = small_size_of(value, min(limit, SMALL), FEW)
    return size if size >= 0 else large_sizes.size_of(value, limit, meter)


def memory_of(roots: Iterable[Any], limit: int, meter: Meter, max_parts: int = _UNLIMITED) -> int:
    """Bytes of memory that JSON values take together, about; parts that they share count once.

    Args:
        roots: The values.
        limit: More than this is found no more exactly.
        meter: Counts the work.
        max_parts: After so many arrays and objects, and things in them, the rest is taken for as large as the limit.
    """
    if max_parts >= _PARTS and isinstance(roots, list | tuple):
        memory = small_memory_of(roots, limit, meter)
        if memory >= 0:
            return memory
    return large_sizes.memory_of(roots, limit, meter, max_parts)


def too_large(limit: int) -> str:
    """The error of a node whose inputs or outputs are beyond the limit."""
    return f"Node inputs or outputs are larger than the limit max_snapshot_bytes = {limit}"
