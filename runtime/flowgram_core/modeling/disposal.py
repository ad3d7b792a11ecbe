"""Disposal of large JSON values a part at a time, so that others get the interpreter in between.

When the last reference to a value of millions of parts goes, the interpreter frees them all before any other thread goes on: a tenth
of a second for 200 MB. What nobody needs any more is taken apart here instead, which takes longer, and holds up nobody.
"""

import gc
import sys
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, Final

_ONLY_HERE: Final = 2
"""References to an object that only one name has: this name, and the argument of the function that counts."""
_CHUNK: Final = 1000
"""Elements that are taken out of an array, or an object, at once."""
_PAUSE: Final = 20_000
"""Parts between two chances to pause: about two milliseconds."""
_SCALARS: Final = frozenset({int, float, bool, type(None)})
_LEAVES: Final = _SCALARS | {str, bytes}


class Disposable:
    """An object of many parts, such as a compiled workflow: once nothing else refers to it, it is taken apart, and they are."""

    __slots__ = ()


def dispose(values: list[Any], pause: Callable[[], None] | None = None) -> list[Any]:
    """Frees JSON values, tuples of them, and `Disposable` objects. What something else refers to stays as it is.

    Args:
        values: Those to free. The list is emptied.
        pause: Called every now and then.

    Returns:
        The arrays, objects and disposables that stay, once each.
    """
    in_use: dict[int, Any] = {}
    inside: list[
        Any
    ] = []  # what disposables refer to: where something else does so too, it is that which frees it
    done = 0
    while values or inside:
        stack = values or inside
        value = stack.pop()
        done += 1
        if pause is not None and done >= _PAUSE:
            done = 0
            pause()
        kind = type(value)
        if kind in _LEAVES:
            continue
        is_used = sys.getrefcount(value) > _ONLY_HERE
        if kind is list or kind is dict or isinstance(value, Disposable):
            if is_used:
                if value and stack is values:
                    in_use[id(value)] = value
            elif kind is dict or kind is list:
                done += _take_from(value, stack)
            else:
                inside += gc.get_referents(value)
        elif isinstance(value, tuple):
            stack += value
        elif stack is inside and not is_used:
            stack += _referents(value)
    return [*in_use.values()]


def _referents(value: Any) -> list[Any]:
    """What an object refers to, and may be the last to do so."""
    if isinstance(value, FunctionType):
        return [*(value.__closure__ or ())]
    if isinstance(value, type | ModuleType) or not gc.is_tracked(value):
        return []
    return gc.get_referents(value)


def _take_from(container: dict[Any, Any] | list[Any], stack: list[Any]) -> int:
    """Takes some parts of a container: what may be large goes to the stack, below it the container with the others.

    Returns:
        How many parts were freed.
    """
    part: list[Any]
    if len(container) <= _CHUNK:
        part = [*container.values()] if isinstance(container, dict) else container[:]
        container.clear()
    elif isinstance(container, dict):
        part = [container.popitem()[1] for _ in range(_CHUNK)]
    else:
        part = container[-_CHUNK:]
        del container[-_CHUNK:]
    if container:
        stack.append(container)
    if _SCALARS.issuperset(map(type, part)):
        return len(part) >> 3
    stack += part
    return 0
