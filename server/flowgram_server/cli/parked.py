"""`flowgram parked`: for operators, the tasks during whose work processes of the server died. Works on the data directory."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from flowgram_core.concurrency.clock import SystemClock
from flowgram_core.embedded.failing import fail_task
from flowgram_core.hosting.secrets import Secrets
from flowgram_core.journal.connection import check_readable, open_reader
from flowgram_core.journal.crashes import CrashedTask, crashed_tasks
from flowgram_core.journal.errors import JournalError
from flowgram_core.journal.migrations import UnknownVersion
from flowgram_core.journal.sqlite import SQLiteJournal
from flowgram_core.modeling.status import Status
from flowgram_server.hosts import JOURNAL_FILE
from flowgram_server.rpc.codec import Codec
from flowgram_server.settings.errors import InvalidSettings
from flowgram_server.settings.loading import load_settings

from .data_directory import journal_folder
from .exits import EPILOG, CommandError, ExitStatus

_ENDED = "Task was ended by the operator"

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The TOML file with the settings of the server, where the journal is encrypted.",
)


@click.group("parked", epilog=EPILOG)
def parked_command() -> None:
    """Look after tasks that end the server's process.

    A task is parked, which ends it as failed, after max_crashes processes in a row died while they worked on it.
    """


@parked_command.command("list", epilog=EPILOG)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@journal_folder
def list_command(data: Path, as_json: bool) -> None:
    """List parked tasks of all namespaces, and those that may be next. The server may run."""
    path = _journal_file(data)
    try:
        with closing(open_reader(path)) as connection:
            check_readable(connection)
            found = crashed_tasks(connection)
    except (sqlite3.Error, UnknownVersion) as error:
        raise CommandError(f"the journal {path} cannot be read: {error}", ExitStatus.REFUSED) from None
    if as_json:
        click.echo(json.dumps([_jsonable(task) for task in found], indent=2))
        return
    for task in found:
        state = "parked" if task.parked else Status(task.status).name.lower()
        click.echo(f"{task.task_id}  {task.namespace:<10}  {state:<10}  {task.crashes} crashes")


@parked_command.command("end", epilog=EPILOG)
@click.argument("task")
@journal_folder
@_config
def end_command(data: Path, task: str, config: Path | None) -> None:
    """End TASK as failed, without rebuilding it. The server must not run: `flowgram cancel` asks one that does."""
    asyncio.run(_with_journal(data, config, task, _end))
    click.echo(f"{task} has ended as failed")


@parked_command.command("retry", epilog=EPILOG)
@click.argument("task")
@journal_folder
@_config
def retry_command(data: Path, task: str, config: Path | None) -> None:
    """Forget the crashes of TASK, so that it is not parked soon. The server must not run."""
    asyncio.run(_with_journal(data, config, task, _forget))
    click.echo(f"the crashes of {task} are forgotten")


async def _with_journal(data: Path, config: Path | None, task_id: str, work: Any) -> None:
    path = _journal_file(data)
    try:
        keys = load_settings(config).encryption.keys()
        journal = await SQLiteJournal.open(path, readers=1, keys=keys)
        try:
            record = await journal.task(task_id)
            if record is None:
                raise CommandError(f"there is no task {task_id}", ExitStatus.REFUSED)
            if record.ended:
                raise CommandError(f"task {task_id} has ended", ExitStatus.REFUSED)
            await work(journal, record)
        finally:
            await journal.close()
    except InvalidSettings as error:
        raise CommandError(str(error), ExitStatus.INVALID) from None
    except JournalError as error:
        raise CommandError(str(error), ExitStatus.REFUSED) from None


async def _end(journal: SQLiteJournal, record: Any) -> None:
    await fail_task(record, _ENDED, journal, Codec(Secrets(())), SystemClock())


async def _forget(journal: SQLiteJournal, record: Any) -> None:
    await journal.forget_crashes(record.task_id)


def _journal_file(data: Path) -> Path:
    path = data / JOURNAL_FILE
    if not path.is_file():
        raise CommandError(f"there is no journal in {data}", ExitStatus.INVALID)
    return path.resolve()


def _jsonable(task: CrashedTask) -> dict[str, object]:
    return {
        "taskID": task.task_id,
        "namespace": task.namespace,
        "status": Status(task.status).name.lower(),
        "crashes": task.crashes,
        "parked": task.parked,
    }
