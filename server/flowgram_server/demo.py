"""`make run`: a server and the development model in one process, with an example run live.

    python -m flowgram_server.demo [--once]

Then it stays for other terminals until Ctrl-C; with `--once` it ends, with the exit status of `flowgram run`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import click

from flowgram_client import CallCanceledError, Client, FlowgramError
from flowgram_server import app, fake_openai
from flowgram_server.cli.display import display_for
from flowgram_server.cli.exits import CommandError, ExitStatus
from flowgram_server.cli.options import DEFAULT_TARGET
from flowgram_server.cli.outcomes import explain, of_outcome
from flowgram_server.cli.progress import Progress
from flowgram_server.cli.root import run_command
from flowgram_server.cli.run import follow
from flowgram_server.cli.workflow_file import Workflow, read_workflow
from flowgram_server.logs import configure_logs
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings
from flowgram_server.settings.server import Settings
from flowgram_server.stop_signals import StopSignals

_EXAMPLE = "examples/question_loop.json"
_LOG_FILE = "server.log"
_MODEL_BY_DEFAULT = f"http://127.0.0.1:{fake_openai.DEFAULT_PORT}/v1"
_WORD_DELAY = 0.03
"""Seconds before each word of the model, so that there is something to watch."""


@click.command()
@click.option("--once", is_flag=True, help="End after the example.")
@click.option("--listen", metavar="HOST:PORT", help="Where the server listens.")
@click.option("--data", metavar="DIR", help="Where it keeps its journal and its log.")
@click.option(
    "--model-port", default=fake_openai.DEFAULT_PORT, show_default=True, help="0: any that is free."
)
@click.argument("file", default=_EXAMPLE)
def demo(once: bool, listen: str | None, data: str | None, model_port: int, file: str) -> int:
    """Start a server and the development model, run the workflow in FILE, and stay until Ctrl-C."""
    try:
        settings = load_settings(flags={"listen": listen, "data": data})
        workflow = read_workflow(file, None)
        with asyncio.Runner(loop_factory=app.loop_factory()) as runner:
            return runner.run(_run(settings, model_port, workflow, once=once))
    except InvalidSettings as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    except app.CANNOT_START as error:
        raise CommandError(str(error), ExitStatus.NOT_STARTED) from None


async def _run(settings: Settings, model_port: int, workflow: Workflow, *, once: bool) -> int:
    stops = StopSignals()
    stops.listen()
    status: int = ExitStatus.INTERRUPTED

    async def show(server: app.Server) -> None:
        nonlocal status
        status = await _show(server.address, with_model_at(model.base_url, workflow), stops)
        if once:
            stops.stop()
        elif not stops.first.is_set():
            click.echo(_next_steps(server.address, settings.data / _LOG_FILE))

    async with development_model(model_port) as model:
        await asyncio.to_thread(_log_to_file, settings)
        await app.serve(settings, stops, show)
    return status


@asynccontextmanager
async def development_model(port: int) -> AsyncIterator[fake_openai.FakeOpenAI]:
    """The development model on a port; 0: any that is free. Raises `CommandError`."""
    model = fake_openai.FakeOpenAI(port=port, delay=_WORD_DELAY)
    try:
        await model.__aenter__()
    except OSError as error:
        why = f"cannot start the development model on 127.0.0.1:{port}: {os.strerror(error.errno or 0)}"
        raise CommandError(why, ExitStatus.NOT_STARTED) from None
    try:
        yield model
    finally:
        await model.__aexit__()


def with_model_at(base_url: str, workflow: Workflow) -> Workflow:
    """The workflow, which asks the development model where that is, in place of where it is by default."""

    def moved(part: Mapping[str, Any] | str | None) -> str | None:
        text = part if part is None or isinstance(part, str) else json.dumps(part)
        return text and text.replace(_MODEL_BY_DEFAULT, base_url)

    return workflow._replace(schema=moved(workflow.schema) or "", inputs=moved(workflow.inputs))


def _log_to_file(settings: Settings) -> None:
    """The terminal is for the example."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        stream = (settings.data / _LOG_FILE).open("a", encoding="utf-8", buffering=1)
    except OSError as error:
        raise CommandError(f"{settings.data}: {error.strerror}", ExitStatus.NOT_STARTED) from None
    configure_logs(settings.log_level, settings.log_format, stream)


async def _show(target: str, workflow: Workflow, stops: StopSignals) -> int:
    """Run the example with the blocking client, in a thread; a request to stop leaves it."""
    client = Client(target)
    following = asyncio.create_task(asyncio.to_thread(_follow, client, target, workflow))
    stopping = asyncio.create_task(stops.first.wait())
    try:
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await asyncio.to_thread(client.close)
    with suppress(CallCanceledError):
        return await following
    return ExitStatus.INTERRUPTED


def _follow(client: Client, target: str, workflow: Workflow) -> int:
    progress = Progress(time.monotonic)
    display = display_for(progress)
    try:
        task_id = client.run(workflow.schema, workflow.inputs)
        with display:
            display.began(task_id)
            return of_outcome(follow(client, task_id, progress, display).status)
    except CallCanceledError:
        raise
    except FlowgramError as error:
        raise explain(error, target) from None


def _next_steps(address: str, log: Path) -> str:
    command = Path(sys.executable).with_name("flowgram")
    with suppress(ValueError):
        command = command.relative_to(Path.cwd())
    target = "" if address == DEFAULT_TARGET else f" --target {address}"
    return f"""
The server goes on at {address}, with its log in {log}. From another terminal:

  {command} run examples/order_triage.json{target}
  {command} list{target}
  {command} --help

Ctrl-C stops it."""


if __name__ == "__main__":
    sys.exit(run_command(demo, "flowgram_server.demo", sys.argv[1:]))
