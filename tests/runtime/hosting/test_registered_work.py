"""Registered work: in the register while it runs, and not while it waits, whatever comes of it."""

import asyncio

import pytest

from flowgram_core.hosting.registered_work import RegisteredWork
from flowgram_core.journal.work_register import SIZE, WorkRegister

SESSION = 7


class Registered:
    """A register, and what the next process would find in it."""

    def __init__(self) -> None:
        self._content = bytearray(SIZE)
        self.register = WorkRegister(self._content)
        self.register.start(SESSION)

    def tasks(self) -> tuple[str, ...]:
        return WorkRegister(bytearray(self._content)).crashed


async def test_the_steps_of_a_coroutine_are_registered() -> None:
    """What it does stands there, the time in which it waits does not; its result is given on."""
    registered, seen, go_on = Registered(), [], asyncio.Event()

    async def work() -> str:
        seen.append(registered.tasks())
        await go_on.wait()
        seen.append(registered.tasks())
        return "done"

    async def call() -> object:
        return await RegisteredWork(work(), registered.register, "task")

    running = asyncio.create_task(call())
    await asyncio.sleep(0)
    assert registered.tasks() == ()
    go_on.set()
    assert await running == "done"
    assert seen == [("task",), ("task",)]
    assert registered.tasks() == ()


async def test_errors_and_cancellations_go_through() -> None:
    """As without it, and leave nothing in the register."""
    registered, canceled = Registered(), asyncio.Event()

    async def fails() -> None:
        raise ValueError("wrong")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert registered.tasks() == ("task",)
            canceled.set()
            raise

    async def call() -> None:
        await RegisteredWork(waits(), registered.register, "task")

    with pytest.raises(ValueError, match="wrong"):
        await RegisteredWork(fails(), registered.register, "task")
    running = asyncio.create_task(call())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert canceled.is_set()
    assert registered.tasks() == ()
