"""Sizes of values: about how long a value is as JSON text, estimated without writing the text.

Values share their parts: a workflow can put a large one many times into another at no cost; only the text would be large.
"""

from typing import Any

_SCALAR = 4
"""About as long as a number is, or a word."""
_SCALARS = frozenset({int, float, bool, type(None)})
_FEW = 16
"""From so many items on it pays to check first whether all are scalars."""


def size_of(value: Any, limit: int) -> int:
    """How many bytes a JSON value has, about; more than the limit, and no more exactly, where it exceeds that.

    The work is in proportion to the size that is found: no part of a value counts for less than two bytes.
    """
    left = limit
    stack = [value]
    while stack:
        part = stack.pop()
        kind = type(part)
        if kind is str:
            # Most texts are short enough to be sure of without encoding them.
            left -= len(part) + 2
            if not part.isascii():
                left -= len(part.encode("utf-8", "surrogatepass")) - len(part)
        elif kind is dict:
            left -= 2 + sum(map(len, part)) + 4 * len(part)
            if left >= 0:
                stack.extend(part.values())
        elif kind is list:
            left -= 2 + len(part)
            if left >= 0:
                # Long ones often hold numbers, or words, alone: that is found out ten times as fast as by going over them.
                kinds = set(map(type, part)) if len(part) > _FEW else None
                if kinds is None or not kinds <= _SCALARS:
                    stack.extend(part)
                else:
                    left -= _SCALAR * len(part)
        else:
            left -= _SCALAR
        if left < 0:
            break
    return limit - left


def too_large(limit: int) -> str:
    """The error of a node whose inputs or outputs are beyond the limit."""
    return f"Node inputs or outputs are larger than the limit max_snapshot_bytes = {limit}"
