"""A gateway for browsers as a process of its own."""

import asyncio
import re
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_ADDRESS = re.compile(r"""(?:https?://|"http": ?"|http=)(127\.0\.0\.1:\d+)""")


class GatewayProcess:
    """A gateway that serves.

    Attributes:
        process: Its process.
        url: Where it serves.
        address: The same as HOST:PORT.
    """

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url
        self.address = url.partition("://")[2]


@asynccontextmanager
async def gateway_running(target: str, *command: str, scheme: str = "http") -> AsyncIterator[GatewayProcess]:
    """A gateway to a server, for as long as the block lasts. It must say where it serves."""
    process = await asyncio.create_subprocess_exec(
        *command, "--target", target, "--listen", "127.0.0.1:0", stdout=PIPE, stderr=STDOUT
    )
    assert process.stdout is not None
    said: list[str] = []
    draining = None
    try:
        async for line in process.stdout:
            said.append(line.decode())
            if found := _ADDRESS.search(said[-1]):
                draining = asyncio.create_task(process.stdout.read())
                yield GatewayProcess(process, f"{scheme}://{found[1]}")
                break
        else:
            raise AssertionError(f"the gateway does not serve: {said}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if draining is not None:
            await draining
