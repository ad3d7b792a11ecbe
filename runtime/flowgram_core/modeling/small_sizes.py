"""Sizes of small objects of plain values: the usual case of `size_of`, which comes with every snapshot."""

from typing import Any, Final

_MEMBERS: Final = 12
_TEXT: Final = 256
_SMALL: Final = 4096
"""Up to here no work is counted by `size_of`, nor is it here."""


def small_size_of(values: dict[str, Any]) -> int:
    """How many bytes a small JSON object has as text, about, as `size_of` finds it; -1 where it is not so small, or not plain."""
    if len(values) > _MEMBERS:
        return -1
    size = 2 + 4 * len(values)
    for name, value in values.items():
        size += len(name)
        kind = type(value)
        if kind is str:
            if len(value) > _TEXT or not value.isascii():
                return -1
            size += len(value) + 2
        elif value is None or kind is int or kind is bool or kind is float:
            size += 4
        else:
            return -1
    return size if size <= _SMALL else -1
