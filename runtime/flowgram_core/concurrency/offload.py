"""Offloading: work on large values runs in threads, so that the event loop goes on meanwhile."""

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

LARGE: Final = 256 * 1024
"""Bytes of JSON text, roughly. Reading or writing less takes some milliseconds at most."""


async def run_in_thread_if_large(
    size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> _T:
    """The result of work on values of so many bytes: computed in a thread if they are large. Raises what the work raises."""
    if size > LARGE:
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)
