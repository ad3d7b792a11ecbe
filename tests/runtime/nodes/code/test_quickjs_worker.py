"""The process that runs scripts, without the pool around it."""

import asyncio
import json

from flowgram_core.nodes.code.worker_commands import quickjs_command
from flowgram_core.nodes.code.worker_protocol import READY, VALUE, frame
from flowgram_core.nodes.node_settings import CodeSettings


def message(job: bytes, content: bytes) -> bytes:
    return job + len(content).to_bytes(4, "big") + content


def answer(job: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + job + content


async def test_what_comes_in_while_a_script_runs_does_not_end_it() -> None:
    """Only the end of the server does. The next job waits."""
    pipe = asyncio.subprocess.PIPE
    command = quickjs_command(CodeSettings(time_limit=30))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env={})
    assert process.stdin is not None
    assert process.stdout is not None
    length = int.from_bytes(await process.stdout.readexactly(4), "big")
    assert (await process.stdout.readexactly(4 + length))[:4] == READY
    for number in (1, 2):
        content = f"async function main() {{ for (let i = 0; i < 50000; i++) await i; return {number} }}"
        job = number.to_bytes(4, "big")
        process.stdin.write(message(job, frame(json.dumps(content).encode()) + frame(b"{}")))
        await process.stdin.drain()
        expected = answer(job, VALUE + str(number).encode())
        assert await process.stdout.readexactly(len(expected)) == expected
    process.stdin.close()
    assert await process.wait() == 0
