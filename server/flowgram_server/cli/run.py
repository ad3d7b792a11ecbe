"""`flowgram run` and `flowgram watch`: follow a task to its end."""

import time
from collections.abc import Callable
from typing import Any

import click

from flowgram_client import Client, Result, Status

from .display import Display, display_for
from .exits import EPILOG, CommandError, ExitStatus
from .options import MAX_DURATION, MAX_SEQUENCE, Connection, connects, pairs
from .outcomes import of_outcome
from .progress import Progress
from .workflow_file import read_workflow


def follow(client: Client, task_id: str, progress: Progress, display: Display, *, after: int = 0) -> Result:
    """Show a task until it has ended; how it did."""
    for event in client.watch(task_id, after_sequence=after, deltas=True):
        display.show(event, progress, progress.apply(event))
    # It may have ended before the watch began, or said before that why it failed.
    if not progress.status.terminated or (after and progress.status is Status.FAILED):
        result = client.result(task_id)
    else:
        result = Result(
            task_id=task_id,
            status=progress.status,
            start_time=progress.start_time,
            end_time=progress.end_time,
            time_cost=progress.time_cost,
            outputs_or_none=progress.outputs,
            errors=tuple(progress.errors) if progress.status is Status.FAILED else (),
        )
    display.ended(result)
    return result


def _shows(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options for its display."""
    command = click.option("-q", "--quiet", is_flag=True, help="Print the outputs only.")(command)
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object per event, and the result."
    )(command)


@click.command("run", epilog=EPILOG)
@click.argument("file")
@click.option("--inputs", metavar="JSON|@FILE", help="The inputs, in place of those in FILE.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=MAX_DURATION),
    metavar="SECONDS",
    help="The task fails after so long.",
)
@click.option("--label", "labels", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Label the task.")
@click.option(
    "--request-id", metavar="ID", help="Run this request once, however often the command is repeated."
)
@click.option("--name", metavar="TEXT", help="A name for people, shown in lists; default: that of FILE.")
@click.option(
    "-d",
    "--detach",
    is_flag=True,
    help="Print the task's id (with --json, an object that has it), and do not wait.",
)
@_shows
@connects
def run_command(
    connection: Connection,
    file: str,
    inputs: str | None,
    timeout: float | None,
    labels: tuple[tuple[str, str], ...],
    request_id: str | None,
    name: str | None,
    detach: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the workflow in FILE (`-` for the standard input), and show its progress.

    FILE holds a workflow schema, or {"schema": …, "inputs": …}. Ctrl-C stops the display, and not the task.
    """
    workflow = read_workflow(file, inputs)
    progress = Progress(time.monotonic)
    display = display_for(progress, as_json=as_json, quiet=quiet)
    task_id = connection.ask(
        lambda client: client.run(
            workflow.schema,
            workflow.inputs,
            task_timeout=timeout,
            labels=dict(labels),
            request_id=request_id,
            display_name=workflow.name if name is None else name,
        )
    )
    if detach:
        if as_json:
            display.began(task_id)
        else:
            click.echo(task_id)
        return 0
    return _follow_to_exit(connection, task_id, progress, display, after=None)


@click.command("watch", epilog=EPILOG)
@click.argument("task")
@click.option(
    "--after",
    type=click.IntRange(min=0, max=MAX_SEQUENCE),
    default=0,
    metavar="N",
    help="Begin after the event with this sequence.",
)
@_shows
@connects
def watch_command(connection: Connection, task: str, after: int, as_json: bool, quiet: bool) -> int:
    """Show the progress of TASK, from its start (or --after N) to its end."""
    progress = Progress(time.monotonic)
    display = display_for(progress, as_json=as_json, quiet=quiet)
    connection.ask(lambda client: client.info())  # a watch would wait for long for a server that is away
    return _follow_to_exit(connection, task, progress, display, after=after)


def _follow_to_exit(
    connection: Connection, task_id: str, progress: Progress, display: Display, *, after: int | None
) -> int:
    """Follow a task, a new one where `after` is None; the exit status for its outcome.

    Ctrl-C leaves the task alone, and says how to come back to it.
    """

    def wait(seconds: float) -> None:
        progress.reconnects()
        display.waits(seconds)
        time.sleep(seconds)

    progress.sequence = after or 0
    try:
        with display:
            if after is None:
                display.began(task_id)
            result = connection.ask(
                lambda client: follow(client, task_id, progress, display, after=after or 0), wait
            )
    except KeyboardInterrupt:
        click.echo(_come_back(connection, task_id, progress), err=True)
        raise
    except CommandError as error:
        if error.status is ExitStatus.UNREACHABLE:
            click.echo(_come_back(connection, task_id, progress), err=True)
        raise
    return of_outcome(result.status)


def _come_back(connection: Connection, task_id: str, progress: Progress) -> str:
    options = "".join(f" {option}" for option in connection.options())
    return (
        f"\nThe task goes on. Watch it again: flowgram watch {task_id} --after {progress.sequence}{options}\n"
        f"Stop it: flowgram cancel {task_id}{options}"
    )
