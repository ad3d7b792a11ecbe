"""Cancellation: whether a `CancelledError` is meant for the asyncio task that runs, or comes from something that it waited for."""

import asyncio


def is_canceled() -> bool:
    """Whether the running asyncio task was cancelled.

    A function, so that its caller has no variable with the task: the error, which the task keeps, would refer to it by that, and
    only the garbage collector could free the two.
    """
    running = asyncio.current_task()
    return running is None or running.cancelling() > 0
