"""The signal watchdog, in processes of their own: what signals do, whatever the event loop is doing."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

PREPARED = """
import asyncio, sys, time
from flowgram_server.app import loop_factory
from flowgram_server.signal_watchdog import SignalWatchdog
from flowgram_server.stop_signals import StopSignals

async def main():
    stops = StopSignals()
    stops.listen()
    with SignalWatchdog(sys.argv[1], float(sys.argv[2])) as watchdog:
        print(watchdog._process.pid, flush=True)
        await work(stops)
    print("ended", flush=True)

def start(factory):
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())
"""

WAITING = """
async def work(stops):
    await stops.first.wait()
    print("first", flush=True)
    await stops.second.wait()
    print("second", flush=True)
"""

HELD = """
async def work(stops):
    if sys.argv[3] == "drains":
        await stops.first.wait()
        print("first", flush=True)
    sum(range(10**15))  # in C, with the interpreter lock
"""

START = "start({})\n"


@asynccontextmanager
async def running(
    work: str, *arguments: str, factory: str = "loop_factory()"
) -> AsyncIterator[tuple[Process, int]]:
    """A process that does some work under a watchdog, whose process is the second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PREPARED + work + START.format(factory), *arguments, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        yield process, int(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def read_line(process: Process) -> bytes:
    assert process.stdout is not None
    return (await process.stdout.readline()).strip()


@pytest.mark.parametrize("factory", ["loop_factory()", "None"])
async def test_signals_reach_the_loop(factory: str) -> None:
    """Each of them, in uvloop's loops and in asyncio's; a process that ends by itself in time is not killed."""
    async with running(WAITING, "json", "60", factory=factory) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert await read_line(process) == b"first"
        process.send_signal(signal.SIGINT)
        assert await read_line(process) == b"second"
        assert await read_line(process) == b"ended"
        assert await process.wait() == 0


@pytest.mark.parametrize("state", ["serves", "drains"])
@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_second_signal_ends_a_process_whose_loop_is_held_in_c(state: str, log_format: str) -> None:
    """Nothing of Python runs in it any more; the log says what happened."""
    async with running(HELD, log_format, "0.1", state) as (process, _):
        process.send_signal(signal.SIGTERM)
        if state == "drains":
            assert await read_line(process) == b"first"
        else:
            # Two signals that are pending together are one: the second waits until the first one was delivered.
            await until(lambda: not pending(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        _, errors = await process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert b"ended by force" in errors
        assert b"the event loop is held" in errors


async def test_without_the_watchdog_signals_reach_the_loop_directly() -> None:
    """It may be killed: those that come then, and those that were on their way, are not lost."""
    async with running(WAITING, "json", "60") as (process, watchdog):
        os.kill(watchdog, signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        await until(lambda: not pending(process.pid, signal.SIGTERM))
        os.kill(watchdog, signal.SIGKILL)
        assert (await read_line(process)).endswith(b"the signal watchdog has died")
        assert await read_line(process) == b"first"
        process.send_signal(signal.SIGTERM)
        assert await read_line(process) == b"second"
        assert await read_line(process) == b"ended"
        assert await process.wait() == 0


def pending(pid: int, number: int) -> bool:
    """Whether a signal was sent to a process and has not been delivered yet."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    masks = [int(line.split()[1], 16) for line in status if line.startswith(("SigPnd", "ShdPnd"))]
    return any(mask >> (number - 1) & 1 for mask in masks)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.01)
