"""Slots: how many calls run at once, over all tasks and by node type."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager


class CallSlots:
    """Bounds the calls that run at once; those beyond wait, first come first served.

    Args:
        total: Over all node types; 0 for no limit.
        by_type: For single node types.
    """

    def __init__(self, total: int, by_type: Mapping[str, int]) -> None:
        self._total = asyncio.Semaphore(total) if total else None
        self._by_type = {name: asyncio.Semaphore(count) for name, count in by_type.items() if count}

    @asynccontextmanager
    async def slot(self, node_type: str) -> AsyncIterator[None]:
        """Waits for its turn, and holds a slot while it is entered."""
        # The narrower limit first: a call that waits for its type must not keep others from theirs.
        async with AsyncExitStack() as stack:
            for semaphore in (self._by_type.get(node_type), self._total):
                if semaphore is not None:
                    await stack.enter_async_context(semaphore)
            yield
