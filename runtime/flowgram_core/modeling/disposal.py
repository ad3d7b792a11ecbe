"""Disposal of large JSON values a part at a time, so that others get the interpreter in between.

When the last reference to a value of millions of parts goes, the interpreter frees them all before any other thread goes on: a tenth
of a second for 200 MB. What nobody needs any more is taken apart here instead, which takes longer, and holds up nobody.
"""

import sys
from collections.abc import Callable
from typing import Any, Final

_ONLY_HERE: Final = 2
"""References to an object that only one name has: this name, and the argument of the function that counts."""
_CHUNK: Final = 1000
"""Elements that are freed at once, where they are nothing but scalars."""
_PAUSE: Final = 20_000
"""Parts between two chances to pause: about two milliseconds."""
_SCALARS: Final = frozenset({int, float, bool, type(None)})


def dispose(values: list[Any], pause: Callable[[], None] | None = None) -> list[Any]:
    """Frees JSON values, and tuples of them. Containers that something else refers to stay as they are.

    Args:
        values: Those to free. The list is emptied.
        pause: Called every now and then.

    Returns:
        The arrays and objects that stay, once each.
    """
    in_use: dict[int, Any] = {}
    done = 0
    while values:
        value = values.pop()
        done += 1
        if pause is not None and done >= _PAUSE:
            done = 0
            pause()
        kind = type(value)
        if kind is list or kind is dict:
            if not value:
                continue
            if sys.getrefcount(value) > _ONLY_HERE:
                in_use[id(value)] = value
            elif kind is dict:
                while value:
                    values.append(value.popitem()[1])
            else:
                done += _take_apart(value, values)
        elif isinstance(value, tuple):
            values += value
    return [*in_use.values()]


def _take_apart(array: list[Any], values: list[Any]) -> int:
    """Empties an array: what may be large goes to the values; returns how many parts were freed."""
    freed = 0
    while array:
        part = array[-_CHUNK:]
        del array[-_CHUNK:]
        if _SCALARS.issuperset(map(type, part)):
            freed += len(part) >> 3
        else:
            values += part
    return freed
