"""Displays of a task's progress: for terminals, for pipes, and for programs."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Protocol, Self

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from flowgram_client import Event, Result, Status

from . import json_output
from .formatting import clean, duration, line
from .progress import Change, Ended, Progress, Run, Said, Started, Wrote

STYLES = {
    Status.SUCCEEDED: "green",
    Status.FAILED: "bold red",
    Status.CANCELED: "yellow",
    Status.PROCESSING: "cyan",
}
_LABEL_WIDTH = 28
_TEXT_WIDTH = 100
"""A pipe gets a model's text in pieces of about so many characters, whole words where there are any."""
_TAIL_LINES = 3
"""So many lines of what a model is writing are shown under its node."""


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
        """Not told."""

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:
        """Not told."""

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
                click.echo(str(run_line(run)).rstrip())
            case Wrote(run, text):
                self._write(run, text)
            case Ended(run, rest, anew):
                if anew:
                    self._pending.pop(id(run), None)
                self._write(run, rest)
                if last := self._pending.pop(id(run)):
                    click.echo(f"  {line(run.label)} | {last}")
                click.echo(str(run_line(run)).rstrip())
            case Said(message):
                click.echo(f"{message.type!s:<10} {_said(message.node_id, message.text)}")

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
            click.echo(str(text))


class TerminalDisplay:
    """For people: what has ended scrolls by, what runs is shown below and moves."""

    def __init__(
        self, console: Console, progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._progress = progress
        self._clock = clock
        self._notice = ""
        self._spinner = Spinner("dots")
        self._live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._live.stop()

    def began(self, task_id: str) -> None:
        """Names the task."""
        self._print(Text.assemble("task ", (task_id, "bold")))

    def show(self, event: Event, progress: Progress, change: Change | None) -> None:  # noqa: ARG002 - the change says it all
        """What has ended, and messages, become lasting lines."""
        self._notice = ""
        match change:
            case Ended(run):
                self._print(run_line(run))
                if written := clean("".join(run.text)):
                    for each in written.split("\n"):
                        self._print(Text(f"  │ {each}", "dim"))
            case Said(message):
                style = STYLES[Status.FAILED] if message.type.name == "ERROR" else "dim"
                self._print(Text(f"{message.type!s:<10} {_said(message.node_id, message.text)}", style))

    def waits(self, seconds: float) -> None:
        """Shown until the next event."""
        self._notice = f"connection lost; trying again in {seconds:.1f} s"

    def ended(self, result: Result) -> None:
        """The outcome, and the outputs."""
        self._live.stop()
        for text in outcome_lines(result):
            self._print(text)

    def _print(self, text: Text) -> None:
        self._console.print(text)

    def _render(self) -> RenderableType:
        """What runs now, as many as there is room for; called from a thread of Live's own."""
        running = list(self._progress.running.values())
        room = max((shutil.get_terminal_size().lines - 2) // (1 + _TAIL_LINES), 1)
        rows: list[RenderableType] = []
        for run in running[:room]:
            row = Table.grid(padding=(0, 1))
            row.add_row(
                self._spinner, Text(line(run.label)), Text(f"{self._clock() - run.began:.1f} s", "dim")
            )
            rows.append(row)
            width = max(self._console.width - 6, 20)
            tail = clean("".join(run.text[-200:])).split("\n")[-_TAIL_LINES:]
            rows += [Text(f"  │ {each[-width:]}", "dim", no_wrap=True) for each in tail if each]
        if len(running) > room:
            rows.append(Text(f"  … and {len(running) - room} more", "dim"))
        if self._notice:
            rows.append(Text(self._notice, "yellow"))
        return Group(*rows)


def run_line(run: Run) -> Text:
    """Status, name with iterations, time, and what came of it."""
    more = f"→ {line(run.branch)}" if run.branch else ""
    if run.error:
        more = line(run.error)
    return Text.assemble(
        (f"{run.status!s:<10} ", STYLES.get(run.status, "")),
        f"{line(run.label):<{_LABEL_WIDTH}} ",
        (f"{duration(run.time_cost) if run.status.terminated else '':>9}", "dim"),
        f"  {more}" if more else "",
    )


def outcome_lines(result: Result) -> list[Text]:
    """How a task ended."""
    time_cost = f" in {duration(result.time_cost)}" if result.time_cost is not None else ""
    lines = [Text.assemble((str(result.status), STYLES.get(result.status, "")), time_cost)]
    lines += [Text(f"  {_said(message.node_id, message.text)}") for message in result.errors]
    if result.succeeded:
        lines.append(Text(json_output.dump(result.outputs, indent=2)))
    return lines


def _said(node_id: str, text: str) -> str:
    return f"{line(node_id)}: {clean(text)}" if node_id else clean(text)


class _Console(Console):
    """A console that leaves it to the command to deal with a reader who has gone."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


def make_console() -> Console:
    """The standard output: styled where it is a terminal, plain text as it is elsewhere."""
    return _Console(highlight=False, markup=False, emoji=False, soft_wrap=True, file=sys.stdout)


def display_for(progress: Progress, *, as_json: bool = False, quiet: bool = False) -> Display:
    """The display that fits the options and where the output goes."""
    if as_json:
        return MachineDisplay()
    if quiet:
        return QuietDisplay()
    console = make_console()
    return TerminalDisplay(console, progress) if console.is_terminal else PlainDisplay()
