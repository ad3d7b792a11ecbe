"""The pool of processes, with processes that do other things than they should."""

import asyncio
import sys

import pytest

from flowgram_core.nodes.code.worker_pool import WorkerPool
from flowgram_core.nodes.errors import WorkerBroken, WorkerDied, WorkerTimedOut

ECHO = """
import os
while header := os.read(0, 4):
    os.write(1, header + os.read(0, int.from_bytes(header, "big")))
"""


def pool(program: str, *, size: int = 1, max_answer_bytes: int = 100) -> WorkerPool:
    return WorkerPool(
        (sys.executable, "-I", "-S", "-c", program), size=size, max_answer_bytes=max_answer_bytes
    )


def frame(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


async def test_a_process_is_started_when_needed_and_kept() -> None:
    """One answers request after request."""
    async with pool(ECHO, size=2) as workers:
        assert workers.pids == frozenset()
        assert await workers.ask(frame(b"one"), 30) == b"one"
        pids = workers.pids
        assert await workers.ask(frame(b"two"), 30) == b"two"
        assert workers.pids == pids
        assert len(pids) == 1
    assert workers.pids == frozenset()


async def test_processes_work_at_the_same_time_up_to_the_size() -> None:
    """Requests beyond it wait."""
    async with pool(ECHO, size=2) as workers:
        contents = [str(number).encode() for number in range(10)]
        assert await asyncio.gather(*(workers.ask(frame(content), 30) for content in contents)) == contents
        assert len(workers.pids) == 2


async def test_a_long_answer_costs_the_process_its_life() -> None:
    """It is not read: a process that was taken over could send without end."""
    async with pool(ECHO, max_answer_bytes=3) as workers:
        assert await workers.ask(frame(b"123"), 30) == b"123"
        with pytest.raises(WorkerBroken):
            await workers.ask(frame(b"1234"), 30)
        assert workers.pids == frozenset()
        assert await workers.ask(frame(b"abc"), 30) == b"abc"


async def test_a_process_that_ends_at_once_has_died() -> None:
    """It is tried once; the next request tries anew."""
    async with pool("raise SystemExit(3)") as workers:
        for _ in range(2):
            with pytest.raises(WorkerDied):
                await workers.ask(frame(b"x" * 1_000_000), 30)
        assert workers.pids == frozenset()


async def test_a_program_that_does_not_exist_has_died() -> None:
    """With a text for operators."""
    async with WorkerPool(("/nonexistent/program",), size=1, max_answer_bytes=1) as workers:
        with pytest.raises(WorkerDied, match="could not be started"):
            await workers.ask(frame(b"x"), 30)


async def test_a_silent_process_is_killed_when_the_time_is_over() -> None:
    """Also one that reads nothing."""
    async with pool("import signal; signal.pause()") as workers:
        with pytest.raises(WorkerTimedOut):
            await workers.ask(frame(b"x" * 1_000_000), 0.2)
        assert workers.pids == frozenset()


async def test_closing_ends_what_runs() -> None:
    """Requests under way and waiting fail; none starts a process any more."""
    workers = pool("import signal; signal.pause()")
    requests = [asyncio.create_task(workers.ask(frame(b"x"), 30)) for _ in range(2)]
    while not workers.pids:  # noqa: ASYNC110 - a process tells nobody that it was started
        await asyncio.sleep(0)
    await workers.aclose()
    outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [WorkerDied, WorkerDied]
    assert workers.pids == frozenset()


async def test_closing_ends_a_process_that_is_being_started() -> None:
    """As soon as it was; the request does not get its answer."""
    workers = pool(ECHO)
    request = asyncio.create_task(workers.ask(frame(b"x"), 30))
    await asyncio.sleep(0)
    assert not workers.pids
    await workers.aclose()
    with pytest.raises(WorkerDied, match="the pool is closed"):
        await request
    assert workers.pids == frozenset()
