"""A server process to measure: its own interpreter, a fresh journal, a port of its own."""

import asyncio
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
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
    """

    target: str
    process: psutil.Process

    def resident(self) -> float:
        """The resident size in megabytes."""
        return float(self.process.memory_info().rss) / 1e6


def free_port() -> int:
    """A port on loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running_server(**environment: str) -> AsyncIterator[Server]:
    """Starts a server with the defaults of users, and stops it at the end."""
    target = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flowgram_server", "serve", "--no-http", "--listen", target, "--data", folder,
            env={**os.environ, "FLOWGRAM_LOG_LEVEL": "warning", **environment},
            stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with grpc.aio.insecure_channel(target) as channel:
                await asyncio.wait_for(channel.channel_ready(), 30)
            yield Server(target, psutil.Process(process.pid))
        finally:
            process.terminate()
            await process.wait()
