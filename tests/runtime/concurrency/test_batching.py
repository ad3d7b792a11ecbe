"""Company: under load those who come together go on together; one who is alone never waits."""

import asyncio
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgram_core.concurrency.batching import AdaptiveBatcher, BatchPolicy


class Guests:
    """Those who want to enter a gathering: who has gone on, in which order, and who has left."""

    def __init__(self) -> None:
        self.gathering = AdaptiveBatcher()
        self.entered: list[int] = []
        self._left: dict[int, asyncio.Event] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def come(self, *numbers: int) -> None:
        """Some come, one right after the other."""
        for number in numbers:
            self._left[number] = asyncio.Event()
            self._tasks[number] = asyncio.create_task(self._visit(number))
        await settle()

    async def leave(self, *numbers: int) -> None:
        """Some have been served."""
        for number in numbers:
            self._left[number].set()
        await asyncio.gather(*(self._tasks.pop(number) for number in numbers))

    async def give_up(self, number: int) -> None:
        """One goes away, whether they have entered or not."""
        task = self._tasks.pop(number)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    async def _visit(self, number: int) -> None:
        async with self.gathering:
            self.entered.append(number)
            await self._left[number].wait()


async def settle() -> None:
    """Lets everybody run who can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def guests() -> Guests:
    return Guests()


async def met_in_crowd(guests: Guests) -> None:
    """Eight have been there at once, and are gone."""
    await guests.come(*range(8))
    await asyncio.wait_for(guests.leave(*range(8)), 5)
    guests.entered.clear()


async def test_one_who_is_alone_never_waits() -> None:
    """One after the other: not even a round of the event loop passes."""
    gathering = AdaptiveBatcher()
    for _ in range(100):
        entering = gathering.__aenter__()
        with pytest.raises(StopIteration):
            entering.send(None)
        await gathering.__aexit__(None, None, None)


async def test_a_few_wait_for_company_after_a_crowd(guests: Guests) -> None:
    """The first who come wait; with the one that makes them half of the crowd they all go on, in their order."""
    await met_in_crowd(guests)
    await guests.come(8)
    await guests.come(9)
    assert guests.entered == []
    await guests.come(10, 11)
    assert guests.entered == [8, 9, 10, 11]


async def test_patience_ends(guests: Guests) -> None:
    """Where nobody else comes, those who wait go on nevertheless, and soon nobody waits any more."""
    await met_in_crowd(guests)
    for number in range(8, 16):
        await guests.come(number)
        await asyncio.wait_for(guests.leave(number), 5)
    await guests.come(16)
    assert guests.entered == [*range(8, 17)]


async def test_whoever_gives_up_holds_nobody_up(guests: Guests) -> None:
    """Cancelled while they wait, or while they are served, they are as good as gone."""
    await met_in_crowd(guests)
    await guests.come(8, 9, 10)
    await guests.give_up(9)
    await guests.come(11)
    assert guests.entered == [8, 10, 11]
    await guests.give_up(10)
    await guests.leave(8, 11)
    await test_one_who_is_alone_never_waits()


async def test_an_error_leaves_as_well(guests: Guests) -> None:
    """Whoever fails is served no longer: the next one does not take them for company."""
    for _ in range(20):
        with pytest.raises(ValueError, match="mistake"):
            async with guests.gathering:
                raise ValueError("mistake")
    await guests.come(1)
    assert guests.entered == [1]


def companies(present: int, fairness: int) -> Iterator[int]:
    """The sizes of the companies, where so many come again as soon as they were served, which takes one turn."""
    company, gathered, served = BatchPolicy(), 0, 0
    coming = present
    for _ in range(fairness):
        gathered += coming
        coming = 0
        company.meet(gathered + served)
        if gathered and company.is_enough(gathered):
            company.left(in_time=True)
            yield gathered
            coming, served, gathered = served, gathered, 0
        else:
            coming, served = served, 0


@given(st.integers(1, 100))
def test_nobody_waits_for_those_who_are_being_served(present: int) -> None:
    """However many there are, some go on in every other turn: no company waits for more than all there are."""
    sizes = list(companies(present, 200))
    assert len(sizes) >= 100
    assert all(1 <= size <= present for size in sizes)


@pytest.mark.parametrize("present", [1, 2, 3, 8, 16])
def test_a_company_is_no_more_than_it_need_be(present: int) -> None:
    """A company of half of those who have been there goes on; one that is smaller by one does not, unless it is large."""
    company = BatchPolicy()
    company.meet(present)
    enough = [size for size in range(1, present + 1) if company.is_enough(size)]
    assert enough[0] == -(-present // 2)
    assert all(after == before + 1 for before, after in pairwise(enough))


def test_sixteen_are_always_enough() -> None:
    """However large the crowd: what is gained grows no more."""
    company = BatchPolicy()
    company.meet(10_000)
    assert company.is_enough(16)
    assert not company.is_enough(15)


def test_a_crowd_is_forgotten() -> None:
    """With every company that goes on, fewer are waited for; soon, where those who are waited for do not come."""
    company = BatchPolicy()
    company.meet(30)
    company.left(in_time=True)
    assert company.is_enough(15)
    for _ in range(28):
        company.left(in_time=False)
    assert company.is_enough(1)
