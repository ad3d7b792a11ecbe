"""Sizes of large values, for the functions of the same names in `sizes`. Not compiled: compiled code would keep all other threads waiting."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

from flowgram_core.modeling.garbage import forget
from flowgram_core.modeling.meter import PART, SCALAR, Meter
from flowgram_core.modeling.small_sizes import (
    FEW,
    LONG_TEXT,
    NUMBER,
    SCALAR_SIZE,
    SMALL,
    dict_memory,
    list_memory,
    text_memory,
)

_SCALARS = frozenset({int, float, bool, type(None)})
_SLICE: Final = 16_384
"""Items that are looked at before the work is counted on."""

_LARGE_TEXT: Final = 256 * 1024
"""Characters of a text that are encoded in one go."""


def size_of(value: Any, limit: int, meter: Meter | None = None) -> int:
    """See `sizes.size_of`."""
    left = limit
    stack = [value]
    counted = spent = 0
    while stack:
        part = stack.pop()
        kind = type(part)
        if kind is str:
            left -= len(part) + 2
            if not part.isascii():
                if meter is not None and len(part) > _LARGE_TEXT:
                    meter.spend(len(part))  # before it is done
                    spent += len(part)
                left -= utf8_length(part) - len(part)
        elif kind is dict:
            left -= 2 + sum(sum(map(len, some)) for some in _slices(part, part)) + 4 * len(part)
            if left >= 0:
                _push(stack, part)
        elif kind is list:
            left -= 2 + len(part)
            if left >= 0:
                # Long ones often hold numbers, or words, alone: that is found out ten times as fast as by going over them.
                if len(part) > FEW and _holds_scalars_alone(part, meter):
                    left -= SCALAR_SIZE * len(part)
                else:
                    _push(stack, part)
        elif kind is _Rest:
            part.go_on(stack)
            continue
        else:
            left -= SCALAR_SIZE
        if left < 0:
            break
        counted += 1
        if counted == _SLICE and meter is not None:
            meter.spend(PART * counted)
            counted = 0
    # What was found was looked at, and will be written.
    if meter is not None and (counted > FEW or limit - left > SMALL):
        meter.spend(PART * counted + limit - left - spent)
    return limit - left


def utf8_length(text: str) -> int:
    """Bytes of a text in UTF-8; of a long one found a slice at a time."""
    if len(text) <= _LARGE_TEXT:
        return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return sum(utf8_length(text[start : start + _LARGE_TEXT]) for start in range(0, len(text), _LARGE_TEXT))


class _Rest:
    """What is still to be looked at in a container of many items: it stands on the stack below some thousands of them.

    Args:
        items: The items, the last one first.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterator[Any]) -> None:
        self._items = items

    def go_on(self, stack: list[Any]) -> None:
        """Puts itself back on a stack, and on top of it the next items, as they would lie there if all had been put."""
        some = list(islice(self._items, _SLICE))
        if some:
            stack.append(self)
            some.reverse()
            stack += some


def _push(stack: list[Any], container: dict[str, Any] | list[Any]) -> None:
    """Puts what is in a container on a stack, some thousands at a time."""
    if len(container) <= _SLICE:
        stack += container.values() if isinstance(container, dict) else container
    else:
        _Rest(_reversed(container)).go_on(stack)


def _holds_scalars_alone(items: list[Any], meter: Meter | None) -> bool:
    if len(items) <= _SLICE:
        return set(map(type, items)) <= _SCALARS
    for start in range(0, len(items), _SLICE):
        if meter is not None:
            meter.spend(SCALAR * _SLICE)
        if not set(map(type, items[start : start + _SLICE])) <= _SCALARS:
            return False
    return True


def memory_of(roots: Iterable[Any], limit: int, meter: Meter, max_parts: int = 2**63 - 1) -> int:
    """See `sizes.memory_of`."""
    left, parts = limit, 0
    # Long texts, and what has arrays or objects inside: nothing else that is shared can grow beyond all bounds.
    seen: set[int] = set()
    stack = list(roots)
    forget(stack)
    while stack and left >= 0:
        part = stack.pop()
        kind = type(part)
        if kind is str:
            if len(part) > LONG_TEXT:
                if id(part) in seen:
                    continue
                seen.add(id(part))
            left -= text_memory(part)
            continue
        if kind is dict:
            left -= dict_memory(len(part))
            items: Any = part.values()
        elif kind is list:
            left -= list_memory(len(part))
            items = part
        elif kind is _Rest:
            part.go_on(stack)
            continue
        else:
            left -= NUMBER
            continue
        parts += 1 + len(part)
        if parts > max_parts:
            return limit + 1
        meter.spend(PART * (1 + (len(part) >> 2)))
        if len(part) > FEW and kind is list and _holds_scalars_alone(items, meter):
            left -= NUMBER * len(items)
            continue
        # A slice at a time, so that nothing is done with millions of items in one go.
        inner = sum(map(_count_containers, _slices(part)))
        if inner < len(part):
            for item in items:
                if type(item) is str:
                    if len(item) > LONG_TEXT:
                        stack.append(item)
                    else:
                        left -= text_memory(item)
                elif type(item) is not dict and type(item) is not list:
                    left -= NUMBER
        if inner and id(part) not in seen:
            seen.add(id(part))
            if len(part) <= _SLICE:
                stack += [item for item in items if type(item) is dict or type(item) is list]
            else:
                _Rest(filter(_is_container, _reversed(part))).go_on(stack)
    return limit - left


def _slices(
    container: dict[str, Any] | list[Any], items: Iterable[Any] | None = None
) -> Iterable[Iterable[Any]]:
    """The items of a container, or others, as many as it has, some thousands at a time."""
    if items is None:
        items = container.values() if isinstance(container, dict) else container
    if len(container) <= _SLICE:
        return (items,)
    iterator = iter(items)
    return iter(lambda: list(islice(iterator, _SLICE)), [])


def _reversed(container: dict[str, Any] | list[Any]) -> Iterator[Any]:
    return reversed(container.values() if isinstance(container, dict) else container)


def _is_container(item: Any) -> bool:
    return type(item) is dict or type(item) is list


def _count_containers(items: Iterable[Any]) -> int:
    return sum(1 for item in items if type(item) is dict or type(item) is list)
