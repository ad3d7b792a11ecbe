"""The process that runs scripts, without the pool around it."""

import asyncio
import json

from flowgram_core.nodes.code.node import worker_command
from flowgram_core.nodes.code.quickjs_worker import VALUE, frame
from flowgram_core.nodes.node_settings import CodeSettings


async def test_what_comes_in_while_a_script_runs_does_not_end_it() -> None:
    """Only the end of the server does. The next job waits."""
    pipe = asyncio.subprocess.PIPE
    command = worker_command(CodeSettings(time_limit=30))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, env={})
    assert process.stdin is not None
    assert process.stdout is not None
    for number in (1, 2):
        content = f"async function main() {{ for (let i = 0; i < 50000; i++) await i; return {number} }}"
        process.stdin.write(frame(json.dumps(content).encode()) + frame(b"{}"))
    for number in (1, 2):
        answer = frame(VALUE + str(number).encode())
        assert await process.stdout.readexactly(len(answer)) == answer
    process.stdin.close()
    assert await process.wait() == 0
