"""A pool of child processes that answer one request at a time, and can be killed while they do.

Processes are started when they are first needed and kept for the next request. They are spawned, never forked: a fork
of a process that serves gRPC does not survive.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Self

from flowgram_core.nodes.code.quickjs_worker import FRAME_HEADER
from flowgram_core.nodes.errors import WorkerBroken, WorkerDied, WorkerTimedOut


class Worker:
    """One child process. Requests and answers are frames, as `quickjs_worker` describes them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.answered = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Starts the process, with an empty environment and no open files but its pipes.

        Raises:
            WorkerDied: It could not be started.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,  # by which it notices the end of this process
                env={},
                cwd="/",
                # Ctrl-C in the terminal is for the server, which then ends its workers itself.
                start_new_session=True,
            )
        except OSError as error:
            raise WorkerDied(f"could not be started: {error.strerror}") from error
        return cls(process)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its end has not been noticed."""
        return self._process.returncode is None

    async def ask(self, request: bytes, max_answer_bytes: int) -> bytes:
        """Sends a request (frames already) and gives the content of the one frame that answers it.

        Raises:
            WorkerDied: The process ended first.
            WorkerBroken: The answer is longer than it may be.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise WorkerDied("has no pipes")
        try:
            stdin.write(request)
            await stdin.drain()
            length = int.from_bytes(await stdout.readexactly(FRAME_HEADER), "big")
            if length > max_answer_bytes:
                raise WorkerBroken(f"the answer has {length} bytes")
            answer = await stdout.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise WorkerDied(f"exit status {await self._process.wait()}") from error
        self.answered += 1
        return answer

    async def kill(self) -> None:
        """Ends the process at once, and returns when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()


class WorkerPool:
    """Up to `size` processes. Requests beyond that wait, first come, first served. An async context manager.

    Args:
        command: What starts a process.
        size: The most processes at once.
        max_answer_bytes: A process whose answer is longer is killed.
        requests_per_worker: A process is replaced after so many; 0: never.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: int,
        max_answer_bytes: int,
        requests_per_worker: int = 0,
    ) -> None:
        self._command = tuple(command)
        self._max_answer_bytes = max_answer_bytes
        self._requests_per_worker = requests_per_worker
        self._slots = asyncio.Semaphore(size)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.aclose()

    @property
    def pids(self) -> frozenset[int]:
        """The processes that there are now."""
        return frozenset(worker.pid for worker in (*self._idle, *self._busy))

    async def ask(self, request: bytes, time_limit: float) -> bytes:
        """Has a process answer a request. When the caller is cancelled, the process is killed.

        Args:
            request: Frames, as the process expects them.
            time_limit: Seconds from the moment on when a process takes the request.

        Raises:
            WorkerTimedOut: The time limit has passed; the process was killed.
            WorkerDied: The process ended.
            WorkerBroken: The answer is too long; the process was killed.
        """
        async with self._slots:
            worker = self._take_idle()
            if worker is not None:
                try:
                    return await self._ask(worker, request, time_limit)
                except WorkerDied:
                    # It may have died before this request, unnoticed: that must not be this request's misfortune.
                    pass
            self._check_open()
            return await self._ask(await Worker.start(self._command), request, time_limit)

    async def aclose(self) -> None:
        """Ends all processes, one that is being started as soon as it was. Requests under way fail with `WorkerDied`."""
        self._closed = True
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        for worker in workers:
            await worker.kill()

    def _check_open(self) -> None:
        if self._closed:
            raise WorkerDied("the pool is closed")

    def _take_idle(self) -> Worker | None:
        """The process that was used last, so that the others' memory may be paged out."""
        while self._idle:
            worker = self._idle.pop()
            if worker.alive:
                return worker
        return None

    async def _ask(self, worker: Worker, request: bytes, time_limit: float) -> bytes:
        self._busy.add(worker)
        reusable = False
        try:
            self._check_open()  # or it was closed while the process was being started
            async with asyncio.timeout(time_limit):
                answer = await worker.ask(request, self._max_answer_bytes)
            reusable = not self._closed and worker.answered != self._requests_per_worker
        except TimeoutError:
            raise WorkerTimedOut from None
        else:
            return answer
        finally:
            self._busy.discard(worker)
            if reusable:
                self._idle.append(worker)
            else:
                await worker.kill()
