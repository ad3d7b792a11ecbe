"""The server as a process that can be killed and started again, on one port and one data directory."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
from tests.support.ports import lasting_port

_ENVIRONMENT = {
    "FLOWGRAM_METRICS_LISTEN": "",  # with metrics models are asked for their usage, by calls with other keys
    "FLOWGRAM_LOG_FORMAT": "json",
    "FLOWGRAM_ACCESS_LOG": "false",
    "FLOWGRAM_CODE__WORKERS": "1",
    # Fewer than there are users, so that tasks wait their turn.
    "FLOWGRAM_MAX_RUNNING_TASKS": "8",
    "FLOWGRAM_SHUTDOWN_GRACE": "5",
}
_TIMEOUT = 60.0
_LONGEST_LINE = 1 << 24


class ServerProcess:
    """A server process, new with each start.

    Attributes:
        target: Where it listens.
        complaints: What the servers logged as errors.
        seconds_to_start: How long the last one took that came to serve.
    """

    def __init__(self, data: Path) -> None:
        self.target = f"127.0.0.1:{lasting_port()}"
        self.complaints: list[str] = []
        self.seconds_to_start = 1.0
        self._started = 0.0
        self._data = data
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._workers: list[psutil.Process] = []

    async def start(self) -> None:
        """Starts it, and returns at once."""
        self._ready.clear()
        self._started = time.monotonic()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flowgram_server.cli", "serve", "--no-http",
            "--listen", self.target, "--data", str(self._data),
            env={**os.environ, **_ENVIRONMENT}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )  # fmt: skip
        self._listening = asyncio.create_task(self._listen(self._process))

    async def ready(self) -> None:
        """Returns once it serves. Raises `TimeoutError`, or `RuntimeError` where it ended instead."""
        assert self._listening is not None
        serving = asyncio.ensure_future(self._ready.wait())
        try:
            async with asyncio.timeout(_TIMEOUT):
                await asyncio.wait((serving, self._listening), return_when=asyncio.FIRST_COMPLETED)
        finally:
            serving.cancel()
        if not self.serving:
            status = await self._gone()
            raise RuntimeError(f"the server ended with status {status} instead: {self.complaints[-3:]}")

    @property
    def serving(self) -> bool:
        """Whether it has said that it serves."""
        return self._ready.is_set()

    async def kill(self) -> None:
        """Ends it with SIGKILL; returns when it is gone."""
        assert self._process is not None
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            self._workers += psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
        await self._gone()

    async def stop(self) -> int:
        """Asks it to end with SIGTERM; its exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_TIMEOUT):
            return await self._gone()

    def left_behind(self) -> list[int]:
        """Worker processes of killed servers that are still there after a while."""
        _, alive = psutil.wait_procs(self._workers, timeout=10)
        return [worker.pid for worker in alive]

    async def _gone(self) -> int:
        assert self._process is not None
        assert self._listening is not None
        await self._listening
        return await self._process.wait()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            text = line.decode(errors="replace").strip()
            try:
                fields = json.loads(text)
            except ValueError:
                self.complaints.append(text)
                continue
            if fields.get("event") == "serving":
                self.seconds_to_start = time.monotonic() - self._started
                self._ready.set()
            if fields.get("level") in {"error", "critical"}:
                self.complaints.append(text)


@asynccontextmanager
async def server_process(data: Path) -> AsyncIterator[ServerProcess]:
    """A process that was not started yet; killed if it runs at the end."""
    server = ServerProcess(data)
    try:
        yield server
    finally:
        if server._process is not None:
            await server.kill()
