"""Turns: when many tasks wake at once, only some go on in each round of the event loop, so that others are served too."""

import asyncio
import time
from collections import deque
from typing import Final

_ROUND: Final = 0.005
"""Seconds that the turns of one round may take; the next one after that begins in the next round."""
_WOKEN: Final = 64
"""How many get ready for their turn in one round: more than most rounds have time for, and few enough to wake in vain."""


class FairScheduler:
    """Gives out turns, first come first served."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._again: deque[asyncio.Future[None]] = deque()  # these were woken, and too late
        self._round_began: float | None = None

    async def time_slice(self) -> None:
        """Returns when it is the caller's turn: at once, while this round is young."""
        loop = asyncio.get_running_loop()
        queue = self._waiting
        if not queue and not self._again and self._is_young(loop):
            return
        while True:
            turn: asyncio.Future[None] = loop.create_future()
            queue.append(turn)
            await turn
            if self._is_young(loop):
                return
            queue = self._again

    def _is_young(self, loop: asyncio.AbstractEventLoop) -> bool:
        # Not the loop's clock: that may stand still within a round.
        now = time.monotonic()
        if self._round_began is None:
            self._round_began = now
            loop.call_soon(self._next_round, loop)
        return now - self._round_began < _ROUND

    def _next_round(self, loop: asyncio.AbstractEventLoop) -> None:
        self._round_began = None
        if not self._waiting and not self._again:
            return
        self._round_began = time.monotonic()
        loop.call_soon(self._next_round, loop)  # before those who are woken here
        for _ in range(_WOKEN):
            if not (queue := self._again or self._waiting):
                break
            turn = queue.popleft()
            if not turn.done():  # or its waiter was cancelled
                turn.set_result(None)
