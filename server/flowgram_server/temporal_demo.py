"""`make run RUNTIME=temporal`: a cluster, a worker and two servers on this machine, with an example run live.

    python -m flowgram_server.temporal_demo [--once]

Each is a process of its own. The example is started by one server and watched through the other. Then all stay for other
terminals until Ctrl-C; with `--once` they end, with the exit status of `flowgram run`.
"""

import asyncio
import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import IO, Any, Final

import click

from flowgram_client import CallCanceledError, Client, FlowgramError
from flowgram_server import app
from flowgram_server.cli.display import display_for
from flowgram_server.cli.exits import CommandError, ExitStatus
from flowgram_server.cli.outcomes import explain, of_outcome
from flowgram_server.cli.progress import Progress
from flowgram_server.cli.root import run_command
from flowgram_server.cli.run import follow
from flowgram_server.cli.workflow_file import Workflow, read_workflow
from flowgram_server.demo import development_model, with_model_at
from flowgram_server.stop_signals import StopSignals

_CLUSTER: Final = Path("build/temporal-dev")
_EXAMPLE: Final = "examples/question_loop.json"
_KEY_FILE: Final = "temporal-key.json"
_READY_SECONDS: Final = 60
_END_SECONDS: Final = 15
_HOST: Final = "127.0.0.1"


@click.command()
@click.option("--once", is_flag=True, help="End after the example.")
@click.option(
    "--data", default="data", show_default=True, metavar="DIR", help="For the cluster's file, and logs."
)
@click.option("--port", default=50051, show_default=True, help="Of the first server; 0: any that are free.")
@click.option(
    "--model-port", default=0, show_default=True, help="Of the development model; 0: any that is free."
)
@click.argument("file", default=_EXAMPLE)
def demo(once: bool, data: str, port: int, model_port: int, file: str) -> int:
    """Start a Temporal cluster, a worker and two servers, run the workflow in FILE, and stay until Ctrl-C."""
    if not _CLUSTER.exists():
        raise CommandError(f"{_CLUSTER} is missing: run tools/build_temporal.sh", ExitStatus.NOT_STARTED)
    workflow = read_workflow(file, None)
    Path(data).mkdir(parents=True, exist_ok=True, mode=0o700)
    with asyncio.Runner(loop_factory=app.loop_factory()) as runner:
        return runner.run(_run(Path(data), port, model_port, workflow, once=once))


async def _run(data: Path, port: int, model_port: int, workflow: Workflow, *, once: bool) -> int:
    stops = StopSignals()
    stops.listen()
    cluster = f"{_HOST}:{_free_port()}"
    targets = [f"{_HOST}:{port + index if port else _free_port()}" for index in range(2)]
    async with development_model(model_port) as model, _processes(data) as processes:
        environment = {
            "FLOWGRAM_TEMPORAL__ADDRESS": cluster,
            "FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS": json.dumps(_keys(data / _KEY_FILE)),
        }
        file = str(data / "temporal.sqlite3")
        processes.start(
            "cluster",
            [
                str(_CLUSTER),
                "--port",
                cluster.rpartition(":")[2],
                "--db-filename",
                file,
                "--until-stdin-closes",
            ],
        )
        flowgram = [sys.executable, "-m", "flowgram_server.cli"]
        processes.start("worker", [*flowgram, "worker"], environment)
        for index, target in enumerate(targets):
            serve = [
                *flowgram,
                "serve",
                "--runtime",
                "temporal",
                "--listen",
                target,
                "--data",
                str(data),
                "--no-http",
            ]
            processes.start(f"server-{index + 1}", serve, environment)
        click.echo(
            f"a Temporal cluster at {cluster}, a worker, and servers at {' and '.join(targets)}; logs in {data}"
        )
        status = await _show(targets, with_model_at(model.base_url, workflow), processes, stops)
        if not once and not stops.first.is_set():
            click.echo(_next_steps(cluster, targets, data))
            await stops.first.wait()
    return status


class _Processes:
    """Processes that are started together, and end together."""

    def __init__(self, data: Path, stack: ExitStack) -> None:
        self._data = data
        self._stack = stack
        self._all: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Starts one; what it says goes to a log of its own."""
        log: IO[Any] = self._stack.enter_context((self._data / f"{name}.log").open("ab"))
        self._all[name] = subprocess.Popen(  # noqa: S603 - programs of this project
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**os.environ, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for this process, which ends the others in order
        )

    def check(self) -> None:
        """Raises `CommandError` if one has ended."""
        for name, process in self._all.items():
            if process.poll() is not None:
                log = self._data / f"{name}.log"
                raise CommandError(f"the {name} has ended: see {log}", ExitStatus.NOT_STARTED)

    def end(self) -> None:
        """Ends all: those that use the cluster before the cluster."""
        for process in reversed(self._all.values()):
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin is not None:
                process.stdin.close()


@asynccontextmanager
async def _processes(data: Path) -> AsyncIterator[_Processes]:
    with ExitStack() as stack:
        processes = _Processes(data, stack)
        try:
            yield processes
        finally:
            await asyncio.to_thread(processes.end)


async def _show(targets: Sequence[str], workflow: Workflow, processes: _Processes, stops: StopSignals) -> int:
    """Run the example by one server and watch it through the other, in a thread; a request to stop leaves it."""
    first, second = Client(targets[0]), Client(targets[1])
    following = asyncio.create_task(asyncio.to_thread(_follow, first, second, targets, workflow, processes))
    stopping = asyncio.create_task(stops.first.wait())
    try:
        await asyncio.wait((following, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await asyncio.to_thread(first.close)
        await asyncio.to_thread(second.close)
    try:
        return await following
    except CallCanceledError:
        return ExitStatus.INTERRUPTED


def _follow(
    first: Client, second: Client, targets: Sequence[str], workflow: Workflow, processes: _Processes
) -> int:
    progress = Progress(time.monotonic)
    display = display_for(progress)
    try:
        _wait_until_ready((first, second), processes)
        task_id = first.run(workflow.schema, workflow.inputs)
        with display:
            display.began(task_id)
            return of_outcome(follow(second, task_id, progress, display).status)
    except CallCanceledError:
        raise
    except FlowgramError as error:
        raise explain(error, targets[0]) from None


def _wait_until_ready(clients: Sequence[Client], processes: _Processes) -> None:
    until = time.monotonic() + _READY_SECONDS
    for client in clients:
        while True:
            processes.check()
            try:
                next(iter(client.list(page_size=1)), None)
            except CallCanceledError:
                raise
            except FlowgramError:
                if time.monotonic() > until:
                    raise
            else:
                break


def _keys(path: Path) -> dict[str, str]:
    """The encryption key of this machine's cluster: made once, and kept beside the cluster's file."""
    if not path.exists():
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"local": key}, file)
    found: dict[str, str] = json.loads(path.read_text("utf-8"))
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _next_steps(cluster: str, targets: Sequence[str], data: Path) -> str:
    command = Path(sys.executable).with_name("flowgram")
    return f"""
All go on. From another terminal, by either server:

  {command} run examples/order_triage.json --target {targets[0]}
  {command} list --target {targets[1]}

and the cluster itself:

  FLOWGRAM_TEMPORAL__ENCRYPTION_KEYS="$(cat {data / _KEY_FILE})" {command} temporal check --address {cluster}

Ctrl-C stops everything."""


if __name__ == "__main__":
    sys.exit(run_command(demo, "flowgram_server.temporal_demo", sys.argv[1:]))
