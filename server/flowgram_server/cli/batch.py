"""`flowgram batch`: run a workflow once for each row of a file."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from flowgram_client import BatchOutcome, BatchRow, Client, Status

from .batch_output import BatchOutput
from .batch_rows import Row, input_types, read_rows
from .exits import EPILOG, ExitStatus
from .json_output import jsonable
from .options import MAX_DURATION, Connection, connects, pairs
from .workflow_file import Workflow, read_workflow


@click.command("batch", epilog=EPILOG)
@click.argument("file")
@click.option(
    "--rows",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The inputs: one JSON object a line, or a .csv file whose first line names the inputs.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where outcomes go, one JSON object a line; default: the standard output.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 4096),
    default=64,
    show_default=True,
    metavar="N",
    help="Rows that run at once.",
)
@click.option("--resume", is_flag=True, help="Go on where a former run with this --out was interrupted.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=MAX_DURATION),
    metavar="SECONDS",
    help="A row's task fails after so long.",
)
@click.option(
    "--label", "labels", multiple=True, callback=pairs, metavar="KEY=VALUE", help="Label the tasks."
)
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@connects
def batch_command(
    connection: Connection,
    file: str,
    rows: Path,
    out: Path | None,
    parallel: int,
    resume: bool,
    timeout: float | None,
    labels: tuple[tuple[str, str], ...],
    quiet: bool,
) -> int:
    """Run the workflow in FILE once for each row of a file, many at a time.

    Each line of the output has `row`, its number from 1, and `status`: succeeded, failed, canceled, or refused where the row
    could not run. An interrupted batch goes on with --resume, and no row is run twice.
    """
    workflow = read_workflow(file, None)
    contents = json.dumps(jsonable(workflow.schema)).encode() + _digest(rows)
    if resume and out is None:
        raise click.UsageError("--resume needs --out")
    with BatchOutput(out, contents, resume=resume) as output:
        total = sum(1 for _ in read_rows(rows, {}))
        run = _Run(workflow, rows, output, total, quiet=quiet)
        status = connection.ask(
            lambda client: run.through(client, parallel=parallel, timeout=timeout, labels=dict(labels))
        )
        output.finish()
    return status


class _Run:
    """One run of the command."""

    def __init__(
        self, workflow: Workflow, rows: Path, output: BatchOutput, total: int, *, quiet: bool
    ) -> None:
        self._workflow = workflow
        self._rows = rows
        self._output = output
        self._failed = 0
        self._writing = threading.Lock()  # rows that are refused here are noticed in gRPC's thread
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._bar = self._progress.add_task(
            workflow.name or "batch", total=total, completed=len(output.done), failed=0, rate=""
        )

    def through(
        self, client: Client, *, parallel: int, timeout: float | None, labels: dict[str, str]
    ) -> ExitStatus:
        """Runs all rows that have no outcome yet."""
        with self._progress:
            for outcome in client.run_batch(
                self._workflow.schema,
                self._to_run(),
                batch_id=self._output.batch_id,
                max_in_flight=parallel,
                task_timeout=timeout,
                labels=labels,
                display_name=self._workflow.name[:256],
            ):
                self._write(_line(outcome))
        return ExitStatus.FAILED if self._failed else ExitStatus.SUCCEEDED

    def _to_run(self) -> Iterator[BatchRow]:
        for row in read_rows(self._rows, input_types(self._workflow.schema)):
            if row.number in self._output.done:
                continue
            if row.error:
                self._write(_refused(row))
            else:
                yield BatchRow(row.inputs, str(row.number))

    def _write(self, line: dict[str, Any]) -> None:
        with self._writing:
            self._output.write(line)
            self._failed += line["status"] != str(Status.SUCCEEDED)
        speed = self._progress.tasks[self._bar].finished_speed or self._progress.tasks[self._bar].speed
        self._progress.update(
            self._bar, advance=1, failed=self._failed, rate=f"{speed:.0f}/s" if speed else ""
        )


def _line(outcome: BatchOutcome) -> dict[str, Any]:
    row = int(outcome.row_id)
    if outcome.result is None:
        return {"row": row, "status": "refused", "error": str(outcome.error)}
    result = outcome.result
    line: dict[str, Any] = {"row": row, "status": str(result.status), "task_id": result.task_id}
    if result.succeeded:
        return {**line, "outputs": result.outputs}
    return {**line, "error": "; ".join(message.text for message in result.errors)}


def _refused(row: Row) -> dict[str, Any]:
    return {"row": row.number, "status": "refused", "error": f"row {row.number} {row.error}"}


def _digest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from None
