"""Company: under load, those who want the same done at nearly the same time are served together.

What is done for one after the other in one go takes half the time that it takes alone: the processor's caches still hold
its code and data, and what surrounds it (a hand-over to a thread, the fixed part of a transaction) is paid once. Who waits
for company, though, waits. So a company goes on when it is half of all who are there: the other half is being served
meanwhile, and nobody is idle. One who is alone is more than half, and never waits.
"""

import asyncio
from types import TracebackType
from typing import Final

_MOST: Final = 16
"""More gain nothing by being more."""

PATIENCE: Final = 0.004
"""Seconds after which a company goes on in any case: those who were there last time may not come again."""

_FORGOTTEN: Final = 0.1
_FORGOTTEN_IN_VAIN: Final = 1.0
"""By so many the crowd that is remembered gets smaller with every company, and with one that waited for others in vain."""


class BatchPolicy:
    """Decides when those who have gathered go on; counts, and waits for nothing itself."""

    __slots__ = ("_peak",)

    def __init__(self) -> None:
        self._peak = 0.0  # of those who were there at once lately

    def meet(self, present: int) -> None:
        """So many are there now: they have gathered, or are being served."""
        self._peak = max(self._peak, present)

    def is_enough(self, gathered: int) -> bool:
        """Whether so many who have gathered may go on."""
        return 2 * gathered >= self._peak or gathered >= _MOST

    def left(self, *, in_time: bool) -> None:
        """A company has gone on, in time or after it had waited in vain: what counts is how many have come lately."""
        self._peak -= _FORGOTTEN if in_time else _FORGOTTEN_IN_VAIN


class AdaptiveBatcher:
    """Lets those who enter go on in companies. Whoever has entered is being served until they leave the block."""

    def __init__(self) -> None:
        self._company = BatchPolicy()
        self._gathered: list[asyncio.Future[None]] = []
        self._served = 0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        gathered, company = self._gathered, self._company
        company.meet(1 + len(gathered) + self._served)
        if not gathered and company.is_enough(1):
            company.left(in_time=True)
            self._served += 1
            return
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        gathered.append(turn)
        try:
            if company.is_enough(len(gathered)):
                self._go_on()
                await asyncio.sleep(0)  # behind those who came before
            elif self._timer is None:
                self._timer = loop.call_later(PATIENCE, self._lose_patience)
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was cancelled after its turn had come
                self._served -= 1
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._served -= 1

    def _lose_patience(self) -> None:
        self._go_on(in_time=False)

    def _go_on(self, *, in_time: bool = True) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        self._company.left(in_time=in_time)
        for turn in gathered:
            if not turn.done():  # or its waiter was cancelled
                self._served += 1
                turn.set_result(None)
