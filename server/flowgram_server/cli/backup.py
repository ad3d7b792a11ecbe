"""`flowgram backup` and `flowgram restore`: for operators, copies of the journal. They work on the data directory."""

from pathlib import Path

import click

from flowgram_core.journal.backup import back_up, restore
from flowgram_core.journal.errors import JournalError, JournalFileExists
from flowgram_server.hosts import JOURNAL_FILE

from .data_directory import journal_folder
from .exits import EPILOG, CommandError, ExitStatus

_file = click.argument("file", type=click.Path(path_type=Path))


@click.command("backup", epilog=EPILOG)
@_file
@journal_folder
@click.option("--force", is_flag=True, help="Overwrite FILE.")
def backup_command(file: Path, data: Path, force: bool) -> None:
    """Copy the journal into FILE, and check the copy. The server may run.

    The copy is the state of one moment, of mode 0600; what is encrypted in the journal is encrypted in it. The keys are not in it.
    """
    path = data / JOURNAL_FILE
    if not path.is_file():
        raise CommandError(f"there is no journal in {data}", ExitStatus.INVALID)
    try:
        back_up(path.resolve(), file, overwrite=force)
    except JournalFileExists as error:
        raise CommandError(f"{error}: --force overwrites it", ExitStatus.REFUSED) from None
    except JournalError as error:
        raise CommandError(str(error), ExitStatus.REFUSED) from None
    click.echo(f"{file}: {file.stat().st_size} bytes, checked")


@click.command("restore", epilog=EPILOG)
@_file
@journal_folder
@click.option("--force", is_flag=True, help="Overwrite the journal that is there; it is lost.")
def restore_command(file: Path, data: Path, force: bool) -> None:
    """Check the backup FILE, and put it in the place of the journal. The server must not run."""
    if not file.is_file():
        raise CommandError(f"there is no file {file}", ExitStatus.INVALID)
    try:
        restore(file, data / JOURNAL_FILE, overwrite=force)
    except JournalFileExists as error:
        raise CommandError(f"{error}: --force overwrites it", ExitStatus.REFUSED) from None
    except JournalError as error:
        raise CommandError(str(error), ExitStatus.REFUSED) from None
    click.echo(f"{data / JOURNAL_FILE}: restored")
