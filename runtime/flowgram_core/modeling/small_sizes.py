"""Sizes of small values, which come with every snapshot and every call: bounded work, and so compiled. See `sizes`."""

from collections.abc import Sequence
from typing import Any, Final

from flowgram_core.modeling.meter import PART, Meter

SCALAR_SIZE: Final = 4
"""About as long as a number is as JSON, or a word."""
FEW: Final = 16
"""From so many items on it pays to check first whether all are scalars. So many parts count as no work."""
SMALL: Final = 4096
"""Bytes of JSON whose work is not worth while counting."""
LONG_TEXT: Final = 1024
"""Characters from which on a text counts once, wherever it stands."""

_PARTS: Final = 64
"""Parts of a value that are looked at here."""

_TEXT: Final = 56
NUMBER: Final = 32
_LIST: Final = 56
_ITEM: Final = 8
_DICT: Final = 64
_FIRST_MEMBER: Final = 72
_MEMBER: Final = 100
"""Bytes of the objects of 64-bit Python, rounded up; a member with its name. They belong to the meaning of a log, as limits do."""


def text_memory(text: str) -> int:
    """Bytes of memory that a text takes, at most."""
    return _TEXT + (len(text) if text.isascii() else 4 * len(text))


def list_memory(length: int) -> int:
    """Bytes of memory that a list takes beside its items."""
    return _LIST + _ITEM * length


def dict_memory(length: int) -> int:
    """Bytes of memory that a dict takes with the names in it, beside its values."""
    return _DICT + _FIRST_MEMBER + _MEMBER * length if length else _DICT


def small_size_of(value: Any, limit: int = SMALL, most_parts: int = FEW) -> int:
    """How many bytes a JSON value has as text, about, as `size_of` finds it; -1 where it is not so small, or not plain.

    Args:
        value: The value.
        limit: The most bytes.
        most_parts: The value itself, and what is in it, at most.
    """
    size = 0
    parts = 1
    pending: list[Any] | None = None
    part = value
    while True:
        kind = type(part)
        if kind is dict:
            parts += len(part)
            if parts > most_parts:
                return -1
            size += 2 + 4 * len(part)
            for name, item in part.items():
                size += len(name)
                if type(item) is dict or type(item) is list:
                    if pending is None:
                        pending = []
                    pending.append(item)
                else:
                    size += _size_of_leaf(item)
        elif kind is list:
            parts += len(part)
            if parts > most_parts or len(part) > FEW:
                return -1
            size += 2 + len(part)
            for item in part:
                if type(item) is dict or type(item) is list:
                    if pending is None:
                        pending = []
                    pending.append(item)
                else:
                    size += _size_of_leaf(item)
        else:
            size += _size_of_leaf(part)
        if size > limit:
            return -1
        if not pending:
            return size
        part = pending.pop()


_TOO_LARGE: Final = 1 << 50
"""Stands for the size of a text that is not looked at here."""


def _size_of_leaf(part: Any) -> int:
    if type(part) is not str:
        return SCALAR_SIZE
    if part.isascii():
        return len(part) + 2
    return len(part.encode("utf-8", "surrogatepass")) + 2 if len(part) <= LONG_TEXT else _TOO_LARGE


def small_memory_of(roots: Sequence[Any], limit: int, meter: Meter) -> int:
    """Bytes of memory that JSON values take together, as `memory_of` finds them; -1 where these are not small. Then no work is counted."""
    if len(roots) > FEW:
        return -1
    memory = work = parts = 0
    seen: set[int] = set()
    pending: list[Any] = [*roots]
    while pending:
        part = pending.pop()
        kind = type(part)
        if kind is str:
            if len(part) > LONG_TEXT:
                if id(part) in seen:
                    continue
                seen.add(id(part))
            memory += text_memory(part)
            continue
        if kind is dict:
            memory += dict_memory(len(part))
            items = list(part.values()) if len(part) <= _PARTS else []
        elif kind is list:
            if len(part) > FEW:
                return -1
            memory += list_memory(len(part))
            items = part
        else:
            memory += NUMBER
            continue
        parts += 1 + len(part)
        if parts > _PARTS or memory > limit:
            return -1
        work += PART * (1 + (len(part) >> 2))
        # What is inside of the same array or object counts once.
        is_known = id(part) in seen
        for item in items:
            if type(item) is dict or type(item) is list:
                if not is_known:
                    pending.append(item)
                    seen.add(id(part))
            elif type(item) is not str:
                memory += NUMBER
            elif len(item) > LONG_TEXT:
                pending.append(item)
            else:
                memory += text_memory(item)
    if memory > limit:
        return -1
    if work:
        meter.spend(work)
    return memory
