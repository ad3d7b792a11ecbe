"""One worker process, as the server sees it: jobs are sent to it, its answers are read, and it can be killed.

On Linux, jobs travel through a socket that keeps the bounds of messages, and the server keeps the process's end of it as
well: through that it takes back, exactly, the jobs that the process has not begun. So a few jobs can lie ready for a process,
which then need not wait for the server between two of them, and what happens to one job never befalls those behind it.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections import deque
from collections.abc import Sequence
from typing import Final, Self

from flowgram_core.nodes.code.worker_protocol import HEADER, PIECE
from flowgram_core.nodes.errors import WorkerDied

CAN_TAKE_BACK: Final = sys.platform == "linux"
"""Whether jobs can be taken back. Where they cannot, a process gets one at a time."""

LARGE_JOB: Final = PIECE - HEADER
"""Bytes beyond which a job is sent in pieces: only to a process that has no other, which gets none meanwhile."""

_READ: Final = 64 * 1024
"""Bytes that are read at once. For much more, each read would get its memory from the system and give it back."""
_LOWER_PRIORITY: Final = 10
"""How much nicer than the server a process is that has a long job."""
_LOWEST_PRIORITY: Final = 19
_END_TIMEOUT: Final = 1
"""Seconds after which a process is killed that has closed its channel and not ended."""


class WorkerListener:
    """Who is notified of what a process does. A base class: compiled code calls its methods directly."""

    def answered(self, job: bytes, content: bytes) -> None:
        """The process has answered a job."""
        raise NotImplementedError

    def broke(self) -> None:
        """The process gave an answer that is too long. Nothing more is read of it."""
        raise NotImplementedError


class WorkerProcess:
    """A child process that answers one job after the other, in the order in which they were sent.

    Args:
        process: The process.
        jobs: The socket for jobs: this end of it, and a copy of the process's end.
        answers: From which the answers are read.
        max_answer_bytes: No answer may be longer.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        jobs: tuple[socket.socket, socket.socket],
        answers: socket.socket,
        max_answer_bytes: int,
    ) -> None:
        self._process = process
        self._jobs, self._far_end = jobs
        self._answers = answers
        self._listener: WorkerListener | None = None
        self._max_answer_bytes = max_answer_bytes
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[memoryview] = deque()
        self._writes_later = False
        self._parts: list[
            bytes
        ] = []  # of an answer that has not come as a whole, and how many bytes it lacks
        self._missing = 0
        self._ended = False
        self._is_killed = False

    @classmethod
    async def start(cls, command: Sequence[str], max_answer_bytes: int) -> Self:
        """Starts a process, with an empty environment and no open files but its channels.

        Raises:
            WorkerDied: It could not be started.
        """
        with contextlib.ExitStack() as opened:
            kind = socket.SOCK_SEQPACKET if CAN_TAKE_BACK else socket.SOCK_STREAM
            try:
                jobs, far_end = map(opened.enter_context, socket.socketpair(socket.AF_UNIX, kind))
                answers, its_answers = map(opened.enter_context, socket.socketpair(socket.AF_UNIX))
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=far_end.fileno(),
                    stdout=its_answers.fileno(),
                    stderr=asyncio.subprocess.PIPE,  # by which it notices the end of this process
                    env={},
                    cwd="/",
                    # Ctrl-C in the terminal is for the server, which then ends its workers itself.
                    start_new_session=True,
                )
            except OSError as error:
                raise WorkerDied(f"could not be started: {error.strerror}") from error
            opened.pop_all()
        its_answers.close()
        for end in (jobs, answers):
            end.setblocking(False)  # noqa: FBT003 - the standard library's interface
        return cls(process, (jobs, far_end), answers, max_answer_bytes)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def listen(self, listener: WorkerListener) -> None:
        """Tells from now on what the process does."""
        self._listener = listener
        self._loop.add_reader(self._answers, self._read)

    def send(self, job: bytes, content: bytes) -> None:
        """Sends a job.

        Args:
            job: Four bytes that identify it.
            content: What the process reads of it.
        """
        message = job + len(content).to_bytes(4, "big") + content
        if len(message) <= PIECE:
            if not self._unsent:
                message = self._send_now(message)
                if not message:
                    return
            self._unsent.append(memoryview(message))
        else:
            view = memoryview(message)
            self._unsent += (view[start : start + PIECE] for start in range(0, len(view), PIECE))
        if not self._writes_later:
            self._write()

    def take_back(self, jobs: Sequence[bytes]) -> list[bytes]:
        """Takes back those of the unanswered jobs that the process has not begun to read, and never will.

        Args:
            jobs: All that are unanswered, in the order in which they were sent.
        """
        if len(jobs) == 1 and not self._next_unread().startswith(jobs[0]):
            return []  # a large one, perhaps, whose first piece has been read
        unread = set()
        while piece := self._receive():
            unread.add(piece[:4])
        unread.update(bytes(piece[:4]) for piece in self._unsent)
        self._unsent.clear()
        return [job for job in jobs if job in unread]

    def lower_priority(self) -> None:
        """From now on the processes of other jobs, and the server itself, come first."""
        with contextlib.suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self.pid, min(own + _LOWER_PRIORITY, _LOWEST_PRIORITY))

    def kill(self) -> None:
        """Ends the process at once. What it has answered before is still reported."""
        # To signal a process that has ended is to take its exit status from the event loop that waits for it.
        if self._is_killed or self._process.returncode is not None:
            return
        self._is_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def wait(self) -> int:
        """Waits until the process has gone. Returns its exit status; all that it has answered has been reported."""
        status = await self._process.wait()
        while self._read():
            pass
        self._stop()
        return status

    def close(self) -> None:
        """Closes the channels. Jobs that were not taken back are lost."""
        for end in (self._jobs, self._far_end, self._answers):
            end.close()

    def _next_unread(self) -> bytes:
        """The piece that the process would read next; b"" if there is none."""
        return self._receive(socket.MSG_PEEK) or (self._unsent[0].tobytes() if self._unsent else b"")

    def _receive(self, flags: int = 0) -> bytes:
        """The next piece that the process has not read; b"" if there is none."""
        try:
            return self._far_end.recv(PIECE, socket.MSG_DONTWAIT | flags)
        except OSError:
            return b""

    def _send_now(self, message: bytes) -> bytes:
        """Sends a piece if the socket takes it. Returns what it does not take."""
        try:
            return message[self._jobs.send(message) :]
        except OSError:  # it is full, or the process has gone: `_write` finds out
            return message

    def _write(self) -> None:
        try:
            while self._unsent:
                sent = self._jobs.send(self._unsent[0])
                if sent < len(self._unsent[0]):
                    self._unsent[0] = self._unsent[0][sent:]
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            if not self._writes_later:
                self._writes_later = True
                self._loop.add_writer(self._jobs, self._write)
            return
        except OSError:  # the process has gone, which shows when its answers end
            pass
        self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writes_later:
            self._writes_later = False
            self._loop.remove_writer(self._jobs)

    def _read(self) -> bool:
        """Tells what has come. Returns whether more may be there already."""
        if self._ended:
            return False
        try:
            data = self._answers.recv(_READ)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._stop()
            return False
        if self._missing:
            self._parts.append(data)
            self._missing -= len(data)
            if self._missing > 0:
                return True
            data = b"".join(self._parts)
            self._parts.clear()
            self._missing = 0
        start = 0
        while start < len(data) and not self._ended:
            start = self._read_answer(data, start)
        return not self._ended

    def _read_answer(self, data: bytes, start: int) -> int:
        """Tells one answer. Returns where the next one begins."""
        begin = start + HEADER
        end = begin
        if begin <= len(data):
            end += int.from_bytes(data[start : start + 4], "big")
            if end - begin > self._max_answer_bytes:
                self._stop()
                if self._listener is not None:
                    self._listener.broke()
                return len(data)
        if end > len(data):
            self._parts.append(data[start:])
            self._missing = end - len(data)
            return len(data)
        if self._listener is not None:
            self._listener.answered(data[start + 4 : begin], data[begin:end])
        return end

    def _stop(self) -> None:
        """Nothing more is read."""
        if self._ended:
            return
        self._ended = True
        self._stop_writing()
        self._loop.remove_reader(self._answers)
        self._loop.call_later(_END_TIMEOUT, self.kill)
