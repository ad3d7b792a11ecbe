"""Turns: tasks that wake at once let others run in between, and all come to theirs, in order."""

import asyncio
import time

from flowgram_core.concurrency.fairness import FairScheduler


def compute() -> None:
    """Holds the event loop for a whole round."""
    until = time.monotonic() + 0.006
    while time.monotonic() < until:
        pass


async def test_a_turn_without_others_comes_at_once() -> None:
    """Nothing is waited for: not even a round of the event loop passes."""
    turn = FairScheduler().time_slice()
    try:
        turn.send(None)
    except StopIteration:
        return
    raise AssertionError("it waited")


async def test_others_run_between_the_turns_of_many() -> None:
    """Of those that wake at once and compute, few have their turn in one round of the event loop."""
    fairness, done, seen = FairScheduler(), 0, []

    async def step() -> None:
        nonlocal done
        await fairness.time_slice()
        compute()
        done += 1

    steps = [asyncio.create_task(step()) for _ in range(20)]
    while done < 20:
        await asyncio.sleep(0)
        seen.append(done)
    await asyncio.gather(*steps)
    assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= 2


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    """Also for those that were woken too late in their round."""
    fairness = FairScheduler()
    order: list[int] = []

    async def step(number: int) -> None:
        await fairness.time_slice()
        compute()
        order.append(number)

    await asyncio.gather(*(step(number) for number in range(20)))
    assert order == list(range(20))


async def test_whoever_leaves_the_line_holds_nobody_up() -> None:
    """Cancelled while they wait, they are passed over."""
    fairness, ended = FairScheduler(), []

    async def step(number: int) -> None:
        await fairness.time_slice()
        compute()
        ended.append(number)

    steps = [asyncio.create_task(step(number)) for number in range(10)]
    await asyncio.sleep(0)
    for each in steps[3:8]:
        each.cancel()
    await asyncio.gather(*steps, return_exceptions=True)
    assert [number for number in ended if not 3 <= number < 8] == [0, 1, 2, 8, 9]
