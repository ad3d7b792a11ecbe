"""The state of jobs and of worker processes, as the pool of workers keeps it."""

import asyncio
from collections import deque
from collections.abc import Hashable

from flowgram_core.nodes.code.worker_process import LARGE_JOB, WorkerProcess
from flowgram_core.nodes.errors import WorkerError


class Job:
    """A job on its way to its answer.

    Attributes:
        key: Whose job it is.
        identity: Four bytes by which its process knows it.
        content: What the process reads of it.
        future: Gets the answer.
        worker: Who has it; None while it waits, and when it is done.
        was_lost: Whether a process has died that was about to begin it.
        is_large: Whether it goes only to a process that has no other job.
    """

    __slots__ = ("content", "future", "identity", "is_large", "key", "was_lost", "worker")

    def __init__(self, key: Hashable, identity: bytes, content: bytes, future: asyncio.Future[bytes]) -> None:
        self.key = key
        self.identity = identity
        self.content = content
        self.future = future
        self.worker: Worker | None = None
        self.was_lost = False
        self.is_large = len(content) > LARGE_JOB

    def fail(self, error: WorkerError) -> None:
        """Ends it, unless its caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)


class Worker:
    """A process with its jobs.

    Attributes:
        long: Whether it serves the long jobs.
        jobs: Those that are unanswered; the first one runs.
        since: When that began, by the clock of the event loop.
        sent: How many jobs it has got.
        is_ready: Whether it has entered its sandbox.
        fate: Why it was killed; what its job fails with.
        restarts: Whether its job is begun anew instead.
    """

    def __init__(self, process: WorkerProcess, *, long: bool) -> None:
        self.process = process
        self.long = long
        self.jobs: deque[Job] = deque()
        self.since = 0.0
        self.sent = 0
        self.is_ready = False
        self.fate: WorkerError | None = None
        self.restarts = False

    def kill(self, fate: WorkerError) -> None:
        """Ends the process; what it is first killed for is what its job fails with."""
        self.fate = self.fate or fate
        self.process.kill()
