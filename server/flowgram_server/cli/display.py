"""Displays of a task's progress: for terminals, for pipes, and for programs."""

import sys
from typing import Protocol, Self

import click

from flowgram_client import Event, Result

from . import json_output
from .formatting import clean, line
from .outcomes import outcome_lines, said
from .progress import Change, Ended, Progress, Run, Said, Started, Wrote
from .run_line import run_line
from .styles import echo

_TEXT_WIDTH = 100
"""A pipe gets a model's text in pieces of about so many characters, whole words where there are any."""


class Display(Protocol):
    """Shows one task. A context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *failure: object) -> None: ...

    def began(self, task_id: str) -> None:
        """The task has this id."""

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:
        """An event came, which `progress` has taken in."""

    def waits(self, seconds: float) -> None:
        """The connection was lost; it is made again after so many seconds."""

    def ended(self, result: Result) -> None:
        """The task has ended."""


class MachineDisplay:
    """One JSON object per line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing to put away."""

    def began(self, task_id: str) -> None:
        """The first line names the task."""
        json_output.echo_object("task", {"task_id": task_id})

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:  # noqa: ARG002 - events say it all
        """Each event is a line."""
        json_output.echo_event(event)

    def waits(self, seconds: float) -> None:
        """Programs hear of events only."""

    def ended(self, result: Result) -> None:
        """The last line is the result."""
        json_output.echo_object("result", result)


class QuietDisplay(MachineDisplay):
    """Nothing but the outputs."""

    def began(self, task_id: str) -> None:
        """Not shown."""

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:
        """Not shown."""

    def ended(self, result: Result) -> None:
        """The outputs, or the errors on the standard error stream."""
        if result.succeeded:
            click.echo(json_output.dump(result.outputs, indent=2))
        for message in result.errors:
            click.echo(clean(message.text), err=True)


class PlainDisplay:
    """Lines for pipes and files: each says what happened, in the order in which it did."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        """Nothing to put away."""

    def __init__(self) -> None:
        self._pending: dict[int, str] = {}

    def began(self, task_id: str) -> None:
        """Names the task."""
        click.echo(f"task {task_id}")

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:  # noqa: ARG002 - the change says it all
        """A line for the start and the end of each run, for each message, and for each piece of text."""
        match change:
            case Started(run):
                echo(run_line(run))
            case Wrote(run, text):
                self._write(run, text)
            case Ended(run, rest, anew):
                if anew:
                    self._pending.pop(id(run), None)
                self._write(run, rest)
                if last := self._pending.pop(id(run)):
                    click.echo(f"  {line(run.label)} | {last}")
                echo(run_line(run))
            case Said(message):
                click.echo(f"{message.type!s:<10} {said(message.node_id, message.text)}")

    def _write(self, run: Run, text: str) -> None:
        *whole, rest = (self._pending.get(id(run), "") + clean(text)).split("\n")
        while len(rest) > _TEXT_WIDTH:
            cut = rest.rfind(" ", 0, _TEXT_WIDTH) + 1 or _TEXT_WIDTH
            whole.append(rest[:cut].rstrip())
            rest = rest[cut:]
        for piece in whole:
            click.echo(f"  {line(run.label)} | {piece}")
        self._pending[id(run)] = rest

    def waits(self, seconds: float) -> None:
        """Says so on the standard error stream."""
        self._pending.clear()
        click.echo(f"connection lost; trying again in {seconds:.1f} s", err=True)

    def ended(self, result: Result) -> None:
        """The outcome, and the outputs."""
        for text in outcome_lines(result):
            echo(text)


def display_for(progress: Progress, *, as_json: bool = False, quiet: bool = False) -> Display:
    """The display that fits the options and where the output goes."""
    if as_json:
        return MachineDisplay()
    if quiet:
        return QuietDisplay()
    if not sys.stdout.isatty():
        return PlainDisplay()
    # What paints on a terminal takes as long to import as all else of the command.
    from .terminal_display import TerminalDisplay, make_console  # noqa: PLC0415 - as said

    return TerminalDisplay(make_console(), progress)
