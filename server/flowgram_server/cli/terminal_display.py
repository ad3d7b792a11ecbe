"""The display of a task's progress on a terminal: running nodes are shown live, finished ones scroll by."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from flowgram_client import Event, Result

from .formatting import clean, line
from .outcomes import outcome_lines, said
from .progress import Change, Ended, Progress, Said
from .run_line import run_line

_TAIL_LINES = 3
"""So many lines of what a model is writing are shown under its node."""


class TerminalDisplay:
    """For people: finished runs scroll by, running ones are shown live below."""

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
                self._print(Text.from_ansi(run_line(run)))
                if written := clean("".join(run.text)):
                    for each in written.split("\n"):
                        self._print(Text(f"  │ {each}", "dim"))
            case Said(message):
                style = "bold red" if message.type.name == "ERROR" else "dim"
                self._print(Text(f"{message.type!s:<10} {said(message.node_id, message.text)}", style))

    def waits(self, seconds: float) -> None:
        """Shown until the next event."""
        self._notice = f"connection lost; trying again in {seconds:.1f} s"

    def ended(self, result: Result) -> None:
        """The outcome, and the outputs."""
        self._live.stop()
        for text in outcome_lines(result):
            self._print(Text.from_ansi(text))

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


class _Console(Console):
    """A console that leaves a closed pipe to the command."""

    def on_broken_pipe(self) -> None:
        raise  # noqa: PLE0704 - rich calls this while it handles the BrokenPipeError


def make_console() -> Console:
    """The standard output: styled where it is a terminal, plain text as it is elsewhere."""
    return _Console(highlight=False, markup=False, emoji=False, soft_wrap=True, file=sys.stdout)
