"""Work in a task that is being cancelled."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def while_cancelled(work: Callable[[], Awaitable[_Result]]) -> _Result:
    """What some work gives that a task does between its cancellation and its end."""

    async def canceled() -> _Result:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            return await work()
        raise AssertionError("it was not cancelled")

    return await asyncio.create_task(canceled())
