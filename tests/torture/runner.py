"""The torture: a server under mixed load is killed again and again; afterwards everything that was reported must hold."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from tests.torture.history import Outcome, Violation, outcome_of
from tests.torture.mock_server import MockServer
from tests.torture.process import ServerProcess, server_process
from tests.torture.temporal import HEARTBEAT_TIMEOUT, TemporalProcesses, temporal_processes
from tests.torture.users import Users
from tests.torture.verify import logs, violations
from tests.torture.workflows import VARIANTS, Variant

from flowgram_core.journal.interface import TaskRecord

Opened = Callable[[Path], AbstractAsyncContextManager[ServerProcess | TemporalProcesses]]
"""Opens what is killed."""

_USERS = 16
_SLOWEST_CALLS = 0.2
_TIMEOUT = 120.0
"""Seconds for all tasks to end once nothing is killed any more."""
_LONGEST_LIVES = (0.1, 1.5, 4.0)
"""Seconds from when a server serves."""
_ONE_IN = 6
"""One in so many is killed about when it begins to serve, most of them before."""


@dataclass
class Result:
    """What came of it.

    Attributes:
        kills: How many servers were killed.
        while_starting: How many of them before they served.
        tasks: How many tasks were accepted, by how they ended.
        events: How many events were checked against the log.
        told_again: How many events and results were reported more than once, and compared.
        reports: How many reports were checked against the log.
        calls: How many calls the peer got, and how many of them again after a kill.
        streams: How many watches were opened.
        interruptions: How many calls of users were cut off.
        slowest_start: Seconds until a server served that was not killed before; it must be less than 10 on a machine with a
            free core.
        seconds: How long it took.
        violations: What was promised and did not hold.
    """

    kills: int
    while_starting: int
    tasks: Counter[str]
    events: int
    reported_again: int
    reports: int
    calls: tuple[int, int]
    streams: int
    interruptions: int
    slowest_start: float
    seconds: float
    violations: list[str]

    def table(self) -> str:
        """For people."""
        ended = ", ".join(f"{count} {name}" for name, count in sorted(self.tasks.items()))
        lines = [
            f"kills: {self.kills} ({self.while_starting} before the server was ready)",
            f"tasks: {self.tasks.total()} ({ended})",
            f"events checked: {self.events}",
            f"read again, and compared: {self.reported_again}",
            f"reports checked: {self.reports}",
            f"calls: {self.calls[0]}, and {self.calls[1]} again because a kill came before their outcome",
            f"watches: {self.streams}, interrupted calls and watches: {self.interruptions}",
            f"slowest start of a server: {self.slowest_start:.1f} s",
            f"seconds: {self.seconds:.0f}",
            f"violations: {len(self.violations)}",
        ]
        return "\n".join(lines)


async def torture(
    *, kills: int, seed: int, tell: Callable[[str], object], runtime: str = "embedded"
) -> Result:
    """Kills servers so often, and says what came of it. The seed decides what users do and when servers die.

    On Temporal the worker, the servers and the cluster are killed in turns.
    """
    opened: Opened = temporal_processes if runtime == "temporal" else server_process
    began = time.monotonic()
    chance = _chance(seed)
    found: list[str] = []
    while_starting = 0
    slowest_start = 0.0
    stored: dict[str, tuple[TaskRecord, list[bytes]]] = {}
    with tempfile.TemporaryDirectory(prefix="flowgram-torture-") as folder:
        async with MockServer(_chance(seed + 1), 0) as mock_server:
            expected = await _undisturbed(Path(folder) / "undisturbed", mock_server, opened)
            mock_server.calls.clear()
            mock_server.scale = _SLOWEST_CALLS
            data = Path(folder) / "data"
            async with opened(data) as server:
                late = runtime == "temporal"
                users = Users(server.target, mock_server.base_url, _chance(seed + 2), late=late)
                living = [asyncio.create_task(users.live()) for _ in range(_USERS)]
                try:
                    for number in range(kills):
                        while_starting += await _one_life(server, number, chance)
                        slowest_start = max(slowest_start, server.seconds_to_start)
                        tell(f"\rkills: {number + 1}/{kills}, tasks: {len(users.history)} ")
                        found += [str(user.exception()) for user in living if user.done()]
                        if found:
                            break
                    await server.start()
                    await server.ready()
                    found += await _end(users, living)
                    listed = await users.listed()
                    found += [
                        f"{task.tag} is not listed" for task in users.history if task.task_id not in listed
                    ]
                    if isinstance(server, TemporalProcesses):
                        stored = await server.logs(sorted(listed))
                    if status := await server.stop():
                        found.append(f"after SIGTERM the server ended with status {status}")
                finally:
                    await users.close()
                found += [f"the server said: {text}" for text in server.complaints]
                found += [f"process {pid} outlived its server" for pid in server.left_behind()]
            if runtime != "temporal":
                stored = await logs(data)
            history = users.history
            # No call begins later than a third of it after its task was canceled; the rest is for its way to the peer.
            late_calls = HEARTBEAT_TIMEOUT if runtime == "temporal" else 0.0
            found += violations(history, stored, mock_server.calls, expected, late_calls)
    repeated = sum(len(times) - 1 for times in mock_server.calls.values())
    return Result(
        kills=kills,
        while_starting=while_starting,
        tasks=Counter(_NAMES[record.status] for record, _ in stored.values()),
        events=sum(len(task.events) for task in history),
        reported_again=sum(task.checked for task in history),
        reports=sum(len(task.reports) for task in history),
        calls=(len(mock_server.calls) + repeated, repeated),
        streams=users.streams,
        interruptions=users.interruptions,
        slowest_start=slowest_start,
        seconds=time.monotonic() - began,
        violations=found,
    )


_NAMES = {1: "pending", 2: "processing", 3: "succeeded", 4: "failed", 5: "canceled"}


def _chance(seed: int) -> random.Random:
    """Random decisions that are the same in every run."""
    return random.Random(seed)  # noqa: S311 - they keep no secrets


async def _undisturbed(data: Path, mock_server: MockServer, opened: Opened) -> dict[Variant, Outcome]:
    """How the tasks of each variant go where nothing disturbs them."""
    async with opened(data) as server:
        await server.start()
        await server.ready()
        users = Users(server.target, mock_server.base_url, _chance(0))
        try:
            history = await asyncio.gather(*map(users.undisturbed, VARIANTS))
        finally:
            await users.close()
        return {
            task.variant: outcome_of((task.events[key] for key in sorted(task.events)), task.tag)
            for task in history
        }


async def _one_life(server: ServerProcess | TemporalProcesses, number: int, chance: random.Random) -> bool:
    """Starts a server and kills it at a random instant; says whether it was still starting."""
    await server.start()
    if number % _ONE_IN == _ONE_IN - 1:
        await asyncio.sleep(chance.uniform(0.3, 1.1) * server.seconds_to_start)
    else:
        await server.ready()
        await asyncio.sleep(chance.uniform(0, chance.choice(_LONGEST_LIVES)))
    early = not server.serving
    await server.kill()
    return early


async def _end(users: Users, living: list[asyncio.Task[None]]) -> list[str]:
    """Lets the users come to their ends; what is wrong with that."""
    users.stop()
    _, late = await asyncio.wait(living, timeout=_TIMEOUT)
    for user in late:
        user.cancel()
    await asyncio.gather(*living, return_exceptions=True)
    errors = [error for user in living if not user.cancelled() and (error := user.exception()) is not None]
    history = [text for error in errors for text in _texts(error)]
    return history + [f"a task has not ended {_TIMEOUT:g} s after the last start" for _ in late]


def _texts(error: BaseException) -> list[str]:
    if isinstance(error, BaseExceptionGroup):
        return [text for inner in error.exceptions for text in _texts(inner)]
    return [str(error) if isinstance(error, Violation) else repr(error)]
