"""A server process to measure: its own interpreter, a fresh journal, a port of its own."""

import asyncio
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import grpc
import psutil


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        target: Where it listens.
        process: Its process.
        output: What it writes.
    """

    target: str
    process: psutil.Process
    output: asyncio.StreamReader

    def resident(self) -> float:
        """The resident size in megabytes."""
        return float(self.process.memory_info().rss) / 1e6

    async def probe(self) -> dict[str, float]:
        """What the event loop was like since the last time, in milliseconds; of a `probed` server. See `benchmarks.probe`."""
        self.process.send_signal(signal.SIGUSR1)
        measured: dict[str, float] = json.loads(await self.output.readline())
        return measured


def computed(process: psutil.Process) -> float:
    """Seconds of processor time of a process and of those that it has started."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:  # a worker was replaced
            continue
        total += times.user + times.system
    return total


_TIMEOUT = 120.0
"""Seconds until it must serve: a restart with many tasks takes some."""


def free_port() -> int:
    """A port on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def connected(
    target: str,
    credentials: grpc.ChannelCredentials | None = None,
    options: Sequence[tuple[str, int]] | None = None,
) -> grpc.aio.Channel:
    """A channel to a server; None: in the clear."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


@asynccontextmanager
async def running_server(
    *, probed: bool = False, credentials: grpc.ChannelCredentials | None = None, **environment: str
) -> AsyncIterator[Server]:
    """Starts a server with the defaults of users, and stops it at the end.

    Args:
        probed: Whether its event loop is measured.
        credentials: What its clients need to connect; None: it has no TLS.
        environment: Settings besides, as variables of its environment.
    """
    target = f"127.0.0.1:{free_port()}"
    command = ("benchmarks.probe",) if probed else ("flowgram_server.cli", "serve")
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "LISTEN": target,
            "HTTP_LISTEN": "",
            "METRICS_LISTEN": "",
            "DATA": folder,
            "LOG_LEVEL": "warning",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *command,
            env={**os.environ, **{f"FLOWGRAM_{name}": value for name, value in settings.items()}, **environment},
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
            async with connected(target, credentials, options) as channel:
                await _ready(channel, process)
            if probed:
                await process.stdout.readline()  # it measures from now on
            yield Server(target, psutil.Process(process.pid), process.stdout)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _ready(channel: grpc.aio.Channel, process: asyncio.subprocess.Process) -> None:
    """Returns when the server answers. Raises `RuntimeError` where it has ended, or takes too long."""
    ready = asyncio.ensure_future(channel.channel_ready())
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait((ready, ended), timeout=_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            raise RuntimeError("the server does not start")
    finally:
        ready.cancel()
        ended.cancel()
