"""Large values: they are worked through in threads, so that the event loop goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

LARGE: Final = 256 * 1024
"""Bytes of JSON text, about. To write or read less takes some milliseconds at most, and to find out that it is less as long."""


async def run_in_thread_if_large(
    size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """What the work gives that is done on values of so many bytes: in a thread if they are large. Raises what it raises."""
    if size > LARGE:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
