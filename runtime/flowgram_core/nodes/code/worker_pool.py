"""A pool of worker processes that share the jobs of all tasks fairly, and that a script without an end cannot take.

Jobs wait in a queue that serves the tasks round-robin. A process that is busy with a short job has the next ones ready.
A job that has run for `LONG` while others wait is moved out of the way: its process goes on at a lower priority beside the
`size` processes that serve short jobs, if there are fewer than `long_workers` such already; else it is stopped, and begun
anew when its turn among the long jobs comes. So a short job is served soon whatever else runs, and a long one once it may.

Processes are started when they are first needed and kept for the next job. They are spawned, never forked: a fork of a
process that serves gRPC does not survive.
"""

import asyncio
import logging
import signal
from collections.abc import Hashable, Sequence
from typing import Final, Self

from flowgram_core.concurrency.fair_queue import FairQueue
from flowgram_core.nodes.code.worker_process import CAN_TAKE_BACK, WorkerListener, WorkerProcess
from flowgram_core.nodes.code.worker_protocol import READY
from flowgram_core.nodes.code.worker_state import Job, Worker
from flowgram_core.nodes.errors import WorkerBroken, WorkerDied, WorkerError, WorkerTimedOut

LONG: Final = 0.1
"""Seconds after which a job has to make room for others that wait."""

_SHORT: Final = 0.005
"""Seconds after which the jobs behind a job are given to other processes."""
_TICK: Final = 0.01
"""Seconds between two looks at the jobs that run."""
AHEAD: Final = 3 if CAN_TAKE_BACK else 0
"""Jobs that lie ready for a process that is busy."""

_log = logging.getLogger(__name__)


class WorkerPool:
    """Has processes answer jobs. An async context manager, made where an event loop runs.

    Args:
        command: What starts a process.
        size: The most processes at once that serve short jobs.
        long_workers: The most at once that serve long ones. 0: long jobs keep their process, and others wait.
        time_limit: Seconds that a process may take for a job.
        max_answer_bytes: A process whose answer is longer is killed.
        jobs_per_worker: A process is replaced after so many; 0: never.
        start_timeout: Seconds that a process may take to get ready.

    Attributes:
        ended: So many processes have ended while the pool was open; others take their place when they are needed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: int,
        time_limit: float,
        max_answer_bytes: int,
        long_workers: int = 0,
        jobs_per_worker: int = 0,
        start_timeout: float = 30,
    ) -> None:
        self.ended = 0
        self._command = tuple(command)
        self._size = size
        self._long_workers = long_workers
        self._time_limit = time_limit
        self._max_answer_bytes = max_answer_bytes
        self._jobs_per_worker = jobs_per_worker
        self._start_timeout = start_timeout
        self._waiting: FairQueue[Job] = FairQueue()
        self._waiting_long: FairQueue[Job] = FairQueue()
        self._workers: set[Worker] = set()
        # By kind, with those that are being started: how many of these there are.
        self._counts = {False: 0, True: 0}
        self._starting = {False: 0, True: 0}
        # The one that was used last comes last: the others' memory may be paged out.
        self._idle: list[Worker] = []
        self._last_identity = 0
        self._loop = asyncio.get_running_loop()
        self._background: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._has_reported = False
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.aclose()

    @property
    def pids(self) -> frozenset[int]:
        """The processes that there are now, without those that were killed."""
        return frozenset(worker.process.pid for worker in self._workers if worker.fate is None)

    @property
    def waiting(self) -> int:
        """Jobs that no process has."""
        return len(self._waiting) + len(self._waiting_long)

    async def ask(self, key: Hashable, content: bytes) -> bytes:
        """Has a process do a job. When the caller is cancelled, the job is withdrawn, or its process killed.

        Args:
            key: Whose job it is: processes are shared between keys.
            content: What the process reads of it.

        Returns:
            The answer.

        Raises:
            WorkerTimedOut: The time limit has passed; the process was killed.
            WorkerDied: The process ended. A job that has begun is not begun again, unless somebody else killed the process
                at that moment.
            WorkerBroken: The answer is nonsense, or too long; the process was killed.
        """
        job = self._submit(key, content)
        try:
            return await job.future
        except asyncio.CancelledError as error:
            canceled = error
        try:
            await self._withdraw(job)
            raise canceled
        finally:
            del canceled  # it refers to this frame

    def _submit(self, key: Hashable, content: bytes) -> Job:
        """Gives a job to a process, or has it wait for one."""
        if self._closed:
            raise WorkerDied("the pool is closed")
        self._last_identity = self._last_identity % 0xFFFFFFFF + 1
        job = Job(key, self._last_identity.to_bytes(4, "big"), content, self._loop.create_future())
        if self._idle and not self._waiting.has_next:
            self._give(self._idle.pop(), job)
            self._start_timer()
        else:
            self._waiting.push(key, job)
            self._dispatch()
        return job

    async def aclose(self) -> None:
        """Ends all processes, one that is being started as soon as it was. Jobs that are not done fail with `WorkerDied`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dispatch()
        for worker in self._workers:
            worker.kill(WorkerDied("the pool is closed"))
        while self._background:
            await asyncio.wait(self._background)

    async def _withdraw(self, job: Job) -> None:
        """Of a job whose caller is gone nothing runs on when this returns, nor what was started for it."""
        if self._waiting.discard(job.key, job):
            worker = self._superfluous_worker()
        elif self._waiting_long.discard(job.key, job) or job.worker is None:
            return
        else:
            worker = job.worker if job.worker.jobs[0] is job else None
            self._take_back(job.worker)
        if worker is not None:
            worker.kill(WorkerDied("its job was withdrawn"))
            await worker.process.wait()
        self._dispatch()

    def _superfluous_worker(self) -> Worker | None:
        """A process that is getting ready, if there are more of these than jobs that wait for them."""
        starting = [worker for worker in self._workers if not (worker.is_ready or worker.long or worker.fate)]
        return (
            starting[-1] if starting and len(starting) + self._starting[False] > len(self._waiting) else None
        )

    # Which process does what

    def _dispatch(self) -> None:
        """Gives the jobs that wait to processes that have room for them, and starts others where there are too few."""
        if self._closed:
            for queue in (self._waiting, self._waiting_long):
                while queue.has_next:
                    queue.pop().fail(WorkerDied("the pool is closed"))
            return
        while self._waiting.has_next:
            if self._idle:
                self._give(self._idle.pop(), self._waiting.pop())
                continue
            worker = self._busy_worker_with_room()
            if worker is None:
                break
            job = self._waiting.pop()
            if job.is_large:
                self._waiting.push_front(job.key, job)
                break
            self._give(worker, job)
        if self.waiting:
            self._start_workers(long=False, count=self._size, waiting=len(self._waiting))
            self._start_workers(long=True, count=self._long_workers, waiting=len(self._waiting_long))
        if len(self._idle) < len(self._workers):
            self._start_timer()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(_TICK, self._tick)

    def _busy_worker_with_room(self) -> Worker | None:
        """The process with the fewest jobs, of those that are likely to have done them soon."""
        soon = self._loop.time() - _SHORT
        found: Worker | None = None
        fewest = AHEAD + 1
        for worker in self._workers:
            if (
                0 < len(worker.jobs) < fewest
                and worker.since > soon
                and worker.fate is None
                and not worker.long
                and not self._is_used_up(worker)
                and not worker.jobs[0].is_large
            ):
                found, fewest = worker, len(worker.jobs)
        return found

    def _give(self, worker: Worker, job: Job) -> None:
        if not worker.jobs:
            worker.since = self._loop.time()
        job.worker = worker
        worker.jobs.append(job)
        worker.sent += 1
        worker.process.send(job.identity, job.content)

    def _is_used_up(self, worker: Worker) -> bool:
        return 0 < self._jobs_per_worker <= worker.sent

    def _take_back(self, worker: Worker) -> None:
        """The jobs that a process has not begun wait again, before all others."""
        if not worker.jobs:
            return
        taken = set(worker.process.take_back([job.identity for job in worker.jobs]))
        jobs = [job for job in worker.jobs if job.identity in taken]
        worker.sent -= len(jobs)
        for job in reversed(jobs):
            worker.jobs.remove(job)
            job.worker = None
            if job.future.done():
                continue
            queue = self._waiting_long if worker.long else self._waiting
            queue.push_front(job.key, job)
        if not worker.jobs and worker in self._workers:
            self._go_on(worker)

    def _tick(self) -> None:
        """Looks at the jobs that run, and comes again as long as there are any."""
        self._timer = None
        now = self._loop.time()
        for worker in tuple(self._workers):
            if worker.jobs and worker.fate is None:
                self._look_at(worker, now - worker.since)
        self._dispatch()

    def _look_at(self, worker: Worker, seconds: float) -> None:
        if seconds >= _SHORT and len(worker.jobs) > 1:
            self._take_back(worker)
        if seconds >= self._time_limit:
            worker.kill(WorkerTimedOut())
        elif seconds >= LONG and not worker.long and self._waiting.has_next:
            self._make_room(worker)

    def _make_room(self, worker: Worker) -> None:
        """Others wait, and this process is busy with a long job."""
        if self._counts[True] < self._long_workers:
            worker.long = True
            self._counts[False] -= 1
            self._counts[True] += 1
            worker.process.lower_priority()
        elif self._long_workers:
            worker.restarts = True
            worker.kill(WorkerDied("its job is begun anew"))

    # What a process does

    def _start_workers(self, *, long: bool, count: int, waiting: int) -> None:
        room = count - self._counts[long]
        if room <= 0 or not waiting:
            return
        not_ready = sum(worker.long == long and not worker.is_ready for worker in self._workers)
        for _ in range(min(waiting - self._starting[long] - not_ready, room)):
            self._counts[long] += 1
            self._starting[long] += 1
            task = self._loop.create_task(self._run_worker(long=long))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    async def _run_worker(self, *, long: bool) -> None:
        """The life of a process."""
        try:
            process = await WorkerProcess.start(self._command, self._max_answer_bytes)
        except WorkerDied as error:
            self._counts[long] -= 1
            self._start_failed(error, long=long)
            return
        finally:
            self._starting[long] -= 1
        worker = Worker(process, long=long)
        self._workers.add(worker)
        process.listen(_Listener(self, worker))
        if self._closed:
            worker.kill(WorkerDied("the pool is closed"))
        timer = self._loop.call_later(self._start_timeout, self._check_ready, worker)
        try:
            status = await process.wait()
            self._ended(worker, was_killed=status == -signal.SIGKILL)
        finally:
            timer.cancel()
            process.close()

    def _check_ready(self, worker: Worker) -> None:
        if not worker.is_ready:
            worker.kill(WorkerTimedOut())

    def _start_failed(self, error: WorkerError, *, long: bool) -> None:
        """One job fails for each process that could not be started; for the next one another is tried."""
        queue = self._waiting_long if long else self._waiting
        if queue.has_next:
            queue.pop().fail(error)
        self._dispatch()

    def _got_ready(self, worker: Worker, missing: str) -> None:
        worker.is_ready = True
        if worker.long:
            worker.process.lower_priority()
        if missing and not self._has_reported:
            self._has_reported = True
            _log.warning("scripts run with less protection", extra={"missing": missing})
        self._go_on(worker)
        self._dispatch()

    def _answered(self, worker: Worker, identity: bytes, content: bytes) -> None:
        if identity == READY and not worker.is_ready:
            self._got_ready(worker, content.decode(errors="replace"))
            return
        if not worker.jobs or worker.jobs[0].identity != identity:
            worker.kill(WorkerBroken("its answer is for no job of its"))
            return
        job = worker.jobs.popleft()
        job.worker = None
        if not job.future.done():
            job.future.set_result(content)
        self._go_on(worker)
        self._dispatch()

    def _go_on(self, worker: Worker) -> None:
        """A process has got ready, has done a job, or is rid of all its jobs."""
        worker.since = self._loop.time()
        if worker.jobs or worker.fate is not None:
            return
        if self._is_used_up(worker):
            worker.kill(WorkerDied("it has done its jobs"))
        elif not worker.long:
            self._idle.append(worker)
        elif self._waiting_long.has_next:
            self._give(worker, self._waiting_long.pop())
        else:
            worker.kill(WorkerDied("its priority cannot be raised again"))

    def _ended(self, worker: Worker, *, was_killed: bool) -> None:
        self.ended += not self._closed
        self._workers.discard(worker)
        self._counts[worker.long] -= 1
        if worker in self._idle:
            self._idle.remove(worker)
        self._take_back(worker)
        fate = worker.fate or WorkerDied("it ended")
        if not worker.is_ready and (worker.fate is None or isinstance(fate, WorkerTimedOut)):
            self._start_failed(fate, long=worker.long)
            return
        # The kernel may have given a job to a process that was idle, and killed from outside, before it was gone.
        just_begun = self._loop.time() - worker.since < LONG
        for job in worker.jobs:
            job.worker = None
            if job.future.done():
                continue
            if worker.restarts:
                self._waiting_long.push(job.key, job)
            elif worker.fate is None and was_killed and just_begun and not job.was_lost:
                job.was_lost = True
                self._waiting.push_front(job.key, job)
            else:
                job.fail(fate)
        worker.jobs.clear()
        self._dispatch()


class _Listener(WorkerListener):
    """Tells the pool what one process does."""

    def __init__(self, pool: WorkerPool, worker: Worker) -> None:
        self._pool = pool
        self._worker = worker

    def answered(self, job: bytes, content: bytes) -> None:
        self._pool._answered(self._worker, job, content)  # noqa: SLF001 - this is a part of the pool

    def broke(self) -> None:
        self._worker.kill(WorkerBroken("its answer is too long"))
