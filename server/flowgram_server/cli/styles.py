"""Styled text of the command line: plain where the output is no terminal, or the user wants no colors."""

import os

import click

from flowgram_client import Status

_COLORS = {
    Status.SUCCEEDED: "green",
    Status.FAILED: "red",
    Status.CANCELED: "yellow",
    Status.PROCESSING: "cyan",
}


def in_style_of(status: Status, text: str = "") -> str:
    """A text, or the status itself, in the color of a status."""
    return click.style(text or str(status), fg=_COLORS.get(status), bold=status is Status.FAILED or None)


def dim(text: str) -> str:
    """A text of less importance."""
    return click.style(text, dim=True)


def echo(text: str, *, err: bool = False) -> None:
    """Write a line. Its styles are left out where the stream is no terminal, and where NO_COLOR is set (no-color.org)."""
    plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    click.echo(text, err=err, color=False if plain else None)
