"""Turns: so that many tasks that wake at once do not hold the event loop, only some go on in each of its rounds."""

import asyncio
from collections import deque


class Turns:
    """Gives out turns, first come first served: so many in each round of the event loop.

    Args:
        at_once: How many.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._left = at_once
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    async def turn(self) -> None:
        """Waits for a turn; at once where there is one left in this round."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next_round)
        if self._left > 0 and not self._waiting:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _next_round(self) -> None:
        self._left = self._at_once
        while self._waiting and self._left > 0:
            turn = self._waiting.popleft()
            if not turn.done():  # or its waiter was cancelled
                turn.set_result(None)
                self._left -= 1
        self._scheduled = bool(self._waiting) or self._left < self._at_once
        if self._scheduled:
            asyncio.get_running_loop().call_soon(self._next_round)
