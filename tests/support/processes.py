"""The server as a process of its own."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_PROGRAM = """
import sys
from pathlib import Path
from flowgram_server.app import run
from flowgram_server.settings.loading import load_settings
flags = {"listen": "127.0.0.1:0", "data": Path(sys.argv[1]), "shutdown_grace": float(sys.argv[2])}
run(load_settings(flags={**flags, "log_format": "json", "code": {"workers": 1}}))
"""


@asynccontextmanager
async def starting_process(
    data: Path, grace: float, packages: Path | None = None, before: Sequence[str] = ()
) -> AsyncIterator[Process]:
    """A server that starts in a process of its own; killed if it is still there at the end.

    Args:
        data: Its data directory.
        grace: Seconds that it drains.
        packages: A directory with packages that it can import.
        before: What to put before its command.
    """
    path = {} if packages is None else {"PYTHONPATH": str(packages)}
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-c", _PROGRAM, data, str(grace), stderr=PIPE, env={**os.environ, **path}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def server_process(
    data: Path,
    grace: float,
    packages: Path | None = None,
    before: Sequence[str] = (),
    seen: list[dict[str, Any]] | None = None,
) -> AsyncIterator[tuple[Process, str]]:
    """The same once it serves, and its address; `seen` gets the log lines before that."""
    async with starting_process(data, grace, packages, before) as process:
        yield process, (await line(process, "serving", seen))["address"]


async def line(process: Process, event: str, seen: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The next log line about an event; `seen` gets those before it."""
    assert process.stderr is not None
    async for text in process.stderr:
        fields: dict[str, Any] = json.loads(text)
        if fields["event"] == event:
            return fields
        if seen is not None:
            seen.append(fields)
    raise AssertionError(f"the server ended without saying {event!r}")


async def serve_until_error(data: Path, before: Sequence[str] = ()) -> tuple[int, str]:
    """What the command ends with, and says, that cannot start."""
    options = ("--no-http", "--listen", "127.0.0.1:0", "--data", str(data))
    process = await asyncio.create_subprocess_exec(
        *before, sys.executable, "-m", "flowgram_server.cli", "serve", *options, stderr=PIPE
    )
    _, received = await process.communicate()
    assert process.returncode is not None
    return process.returncode, received.decode()
