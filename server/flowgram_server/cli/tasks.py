"""The commands of a single call: report, result, cancel, list, validate, info."""

import sys
from itertools import islice

import click

from flowgram_client import Caller, Client, Report, Status, TaskRemoved, TaskSummary
from flowgram_core.journal.namespaces import DEFAULT_NAMESPACE

from . import json_output
from .exits import EPILOG, ExitStatus
from .formatting import clean, duration, line, moment
from .options import Connection, connects, pairs
from .outcomes import of_outcome, outcome_lines
from .styles import dim, echo, in_style_of
from .workflow_file import read_workflow

_LISTED = 50

_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("report", epilog=EPILOG)
@click.argument("task")
@_as_json
@connects
def report_command(connection: Connection, task: str, as_json: bool) -> None:
    """Show everything about TASK: its status, the runs of its nodes, its messages and outputs.

    --json adds what each run saw and did.
    """
    report = connection.ask(lambda client: client.report(task))
    if as_json:
        click.echo(json_output.dump(json_output.jsonable(report), indent=2))
    else:
        _print_report(report)


def _print_report(report: Report) -> None:
    echo(_line("task", line(report.task_id)))
    echo(_line("status", in_style_of(report.status)))
    echo(_line("started", moment(report.start_time)))
    if report.terminated:
        echo(_line("ended", f"{moment(report.end_time)} ({duration(report.time_cost)})"))
    echo(_line("events", str(report.last_sequence)))
    if report.nodes:
        echo("nodes")
    for node in report.nodes.values():
        runs = f"{len(node.snapshots)} runs" if len(node.snapshots) > 1 else ""
        status = in_style_of(node.status, f"{node.status!s:<10} ")
        echo(f"  {status}{line(node.node_id):<28} {runs:>10} {dim(f'{duration(node.time_cost):>9}')}")
    if report.messages:
        echo("messages")
    for message in report.messages:
        where = f"{line(message.node_id)}: " if message.node_id else ""
        echo(f"  {message.type!s:<8} {where}{clean(message.text)}")
    if report.outputs is not None:
        echo("outputs")
        echo(json_output.dump(report.outputs, indent=2))


@click.command("result", epilog=EPILOG)
@click.argument("task")
@click.option("--wait", is_flag=True, help="Wait until the task has ended.")
@_as_json
@connects
def result_command(connection: Connection, task: str, wait: bool, as_json: bool) -> int:
    """Print the outputs of TASK; the exit status tells how it ended."""
    result = connection.ask(lambda client: client.result(task, wait=wait))
    if as_json:
        click.echo(json_output.dump(json_output.jsonable(result), indent=2))
    elif result.succeeded:
        click.echo(json_output.dump(result.outputs, indent=2))
    else:
        for text in outcome_lines(result):
            echo(text, err=True)
    return of_outcome(result.status)


@click.command("cancel", epilog=EPILOG)
@click.argument("task")
@click.option("--reason", default="", help="Kept as a message of the task.")
@_as_json
@connects
def cancel_command(connection: Connection, task: str, reason: str, as_json: bool) -> None:
    """Stop TASK. A task that has ended already stays as it is; --json tells it by `success`."""
    success = connection.ask(lambda client: client.cancel(task, reason=reason))
    if as_json:
        click.echo(json_output.dump({"task_id": task, "success": success}))
    else:
        click.echo("canceled" if success else "had ended already")


@click.command("list", epilog=EPILOG)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([str(each) for each in Status if each is not Status.UNSPECIFIED]),
    help="Only tasks in this status; may be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=pairs,
    metavar="KEY=VALUE",
    help="Only tasks with this label.",
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0, max=sys.maxsize),
    help="At most so many; 0: all.  [default: 50]",
)
@click.option(
    "--watch", is_flag=True, help="List all, then print each task again whenever it changes, until Ctrl-C."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per task.")
@connects
def list_command(
    connection: Connection,
    statuses: tuple[str, ...],
    labels: tuple[tuple[str, str], ...],
    limit: int | None,
    watch: bool,
    as_json: bool,
) -> None:
    """List tasks, newest first: id, status, creation, duration, namespace (unless it is the default one), name, labels."""
    if watch and limit is not None:
        raise click.UsageError("--limit and --watch exclude each other")
    wanted = [Status[status.upper()] for status in statuses]

    def print_list(client: Client) -> None:
        most = _LISTED if limit is None else limit
        tasks = client.list(statuses=wanted, labels=dict(labels), page_size=min(most, 1000) or 1000)
        for task in islice(tasks, most or None):
            print_task(task)

    def print_changes(client: Client) -> None:
        client.info()  # a watch would wait for long for a server that is away
        for change in client.watch_tasks(statuses=wanted, labels=dict(labels)):
            if not isinstance(change, TaskRemoved):
                print_task(change)
            elif as_json:
                click.echo(json_output.dump({"task_id": change.task_id, "removed": True}))

    def print_task(task: TaskSummary) -> None:
        if as_json:
            click.echo(json_output.dump(json_output.jsonable(task)))
        else:
            shown = " ".join(f"{line(key)}={line(value)}" for key, value in sorted(task.labels.items()))
            status = in_style_of(task.status, f"{task.status!s:<10}")
            times = f"{moment(task.create_time):<20}  {duration(task.time_cost):>12}"
            name = f"  {line(task.display_name)}" if task.display_name else ""
            if task.namespace not in {"", DEFAULT_NAMESPACE}:
                name = f"  [{line(task.namespace)}]{name}"
            echo(f"{line(task.task_id)}  {status}  {times}{name}{dim(f'  {shown}') if shown else ''}")

    connection.ask(print_changes if watch else print_list)


@click.command("validate", epilog=EPILOG)
@click.argument("file")
@click.option("--inputs", metavar="JSON|@FILE", help="The inputs, in place of those in FILE.")
@_as_json
@connects
def validate_command(connection: Connection, file: str, inputs: str | None, as_json: bool) -> int:
    """Check the workflow in FILE and its inputs without running it; each problem is a line, and so is each warning."""
    workflow = read_workflow(file, inputs)
    found = connection.ask(lambda client: client.validate(workflow.schema, workflow.inputs))
    if as_json:
        received = {
            "valid": found.valid,
            "errors": [each.description for each in found.violations],
            "problems": [each._asdict() for each in found.violations],
            "warnings": [each._asdict() for each in found.warnings],
        }
        click.echo(json_output.dump(received))
        return ExitStatus.SUCCEEDED if found.valid else ExitStatus.INVALID
    for each in found.violations:
        click.echo(clean(str(each)), err=True)
    for each in found.warnings:
        click.echo(f"warning: {clean(str(each))}", err=True)
    if found.valid:
        click.echo("valid")
    return ExitStatus.SUCCEEDED if found.valid else ExitStatus.INVALID


@click.command("info", epilog=EPILOG)
@_as_json
@connects
def info_command(connection: Connection, as_json: bool) -> None:
    """Show the server's name, version and node types."""
    info = connection.ask(lambda client: client.info())
    if as_json:
        click.echo(json_output.dump(json_output.jsonable(info), indent=2))
        return
    for name, value in (
        ("name", info.name),
        ("title", info.title),
        ("about", info.description),
        ("runtime", info.runtime),
        ("version", info.version),
        ("time", moment(info.time)),
        ("nodes", " ".join(info.node_types)),
        *([("caller", _caller(info.caller))] if info.caller else []),
    ):
        echo(_line(name, line(value)))


def _caller(caller: Caller) -> str:
    return f"{caller.name}, {caller.role} in {caller.namespace}"


def _line(name: str, value: str) -> str:
    return f"{dim(f'{name:<9} ')}{value}"
