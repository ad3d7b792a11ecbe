"""How much work the journal in memory does at once: it does all of it on the event loop."""

import asyncio
from types import FunctionType
from typing import ClassVar

import pytest
from support.journals import finished, ids_of

from flowgram_core.journal.interface import Batch, Write
from flowgram_core.journal.memory import MemoryJournal

MANY = 3_000

counts_looks = pytest.mark.skipif(
    not isinstance(Batch.__init__, FunctionType), reason="compiled records hold plain numbers"
)


class Number(int):
    """Counts how often numbers are compared: looking at all of them, or sorting them, takes many looks."""

    looks: ClassVar[int] = 0

    def __lt__(self, other: int) -> bool:
        Number.looks += 1
        return int(self) < int(other)

    def __le__(self, other: int) -> bool:
        Number.looks += 1
        return int(self) <= int(other)

    def __gt__(self, other: int) -> bool:
        Number.looks += 1
        return int(self) > int(other)

    def __ge__(self, other: int) -> bool:
        Number.looks += 1
        return int(self) >= int(other)

    def __eq__(self, other: object) -> bool:
        Number.looks += 1
        return isinstance(other, int) and int(self) == int(other)

    __hash__ = int.__hash__


class Hash(bytes):
    """Counts how often hashes of schemas are looked up."""

    looks: ClassVar[int] = 0

    def __hash__(self) -> int:
        Hash.looks += 1
        return super().__hash__()


@counts_looks
async def test_a_removal_looks_at_little_more_than_it_removes() -> None:
    """However many finished tasks there are; by age and by count."""
    journal = MemoryJournal()
    for number in range(MANY):
        await journal.commit(
            finished(f"t{number}", end_time=Number(number), schema_hash=Hash(b"%d" % (number % 7)))
        )
    Number.looks = Hash.looks = 0
    removed = await journal.remove_finished(ended_before=5, keep_newest=None, limit=10)
    removed += await journal.remove_finished(ended_before=None, keep_newest=MANY - 10, limit=10)
    assert ids_of(removed) == [f"t{number}" for number in range(10)]
    assert Number.looks < 500
    assert Hash.looks < 100


async def test_the_loop_runs_after_each_removal() -> None:
    """Also where the caller asks for the next one at once."""
    journal = MemoryJournal()
    for number in range(3):
        await journal.commit(finished(f"t{number}"))
    for _ in range(3):
        turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(turn.set)
        await journal.remove_finished(ended_before=None, keep_newest=0, limit=1)
        assert turn.is_set()


@counts_looks
async def test_a_read_looks_at_little_more_than_it_gives() -> None:
    """However long the log before it is."""
    journal = MemoryJournal()
    log = tuple(Batch(number, Number(number), number, None, b"%d" % number) for number in range(1, MANY + 1))
    whole = finished("a")
    await journal.commit(Write("a", whole.accept, log, whole.started, whole.finish))
    Number.looks = 0
    assert await journal.read("a", MANY - 1, 1 << 20) == [*log[-1:]]
    assert Number.looks < 50
