"""The option of the commands that work on a server's data directory: where it is."""

from pathlib import Path

import click

journal_folder = click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    default=Path("data"),
    envvar="FLOWGRAM_DATA",
    show_default=True,
    help="The directory of the journal.",
)
