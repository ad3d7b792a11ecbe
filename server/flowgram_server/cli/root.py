"""The root command: its sub-commands, imported when they are used, and the handling of all errors."""

import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

from flowgram_server.quick_imports import quick_imports

from .exits import EPILOG, CommandError, ExitStatus
from .formatting import clean, line

_COMMANDS = {
    "serve": ("serve", "Start a server."),
    "worker": ("worker", "Start a worker for servers on Temporal."),
    "temporal": ("worker", "Look after a Temporal cluster."),
    "gateway": ("gateway", "Start a REST gateway to a server."),
    "dev-llm": ("serve", "Start the development model."),
    "run": ("run", "Run a workflow and show its progress."),
    "batch": ("batch", "Run a workflow once for each row of a file."),
    "watch": ("run", "Show the progress of a task."),
    "report": ("tasks", "Show everything about a task."),
    "result": ("tasks", "Print the outputs of a task."),
    "cancel": ("tasks", "Stop a task."),
    "list": ("tasks", "List tasks, newest first."),
    "backup": ("backup", "Copy the journal into a file."),
    "restore": ("backup", "Put a backup in the place of the journal."),
    "parked": ("parked", "Look after tasks that end the server's process."),
    "key": ("key", "Look after the API keys of a server."),
    "validate": ("tasks", "Check a workflow without running it."),
    "info": ("tasks", "Show the server's version and node types."),
}
"""Name: the module it is in, and its line in the help, which needs no import."""


class _ReaderGone(Exception):
    """Nobody reads the output any more. No OSError: click would make an exit status of its own of that."""


@contextmanager
def _noticed() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise _ReaderGone from None


class _LazyGroup(click.Group):
    """Imports a command when it is used: a client's command does not load the server."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        with quick_imports():
            module = importlib.import_module(f".{_COMMANDS[cmd_name][0]}", __package__)
        command: click.Command = getattr(module, cmd_name.replace("-", "_") + "_command")
        return command

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        with _noticed():
            return super().make_context(*arguments, **options)

    def invoke(self, ctx: click.Context) -> object:
        with _noticed():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="flowgram-server", prog_name="flowgram")
def flowgram() -> None:
    """Run FlowGram workflows, and watch them live."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command `flowgram`; its exit status."""
    return run_command(flowgram, "flowgram", sys.argv[1:] if arguments is None else arguments)


def run_command(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    """Run a command; its exit status. Errors are reported on the standard error stream, never as a traceback."""
    # Python has none where the command was started with it closed.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a text that the terminal's encoding cannot show is shown as escapes
            stream.reconfigure(errors="backslashreplace")
    status = _status_of(command, name, arguments)
    for stream in (sys.stdout, sys.stderr):
        _finish(stream)
    return status


def _status_of(command: click.Command, name: str, arguments: Sequence[str]) -> int:
    try:
        status = command.main(list(arguments), prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        with suppress(OSError):
            error.show()
        return ExitStatus.INVALID
    except click.ClickException as error:
        _tell(f"{name}: {clean(error.format_message())}")
        return error.status if isinstance(error, CommandError) else ExitStatus.INVALID
    except (click.Abort, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    except (_ReaderGone, BrokenPipeError):  # as in `flowgram list | head`
        return ExitStatus.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - a traceback helps no user, and its exit status means a failed task
        _tell(f"{name}: unexpected error: {line(f'{type(error).__name__}: {error}')}")
        return ExitStatus.UNEXPECTED
    return status if isinstance(status, int) else ExitStatus.SUCCEEDED


def _nowhere() -> TextIO:
    """A stream for what nobody is to read."""
    return Path(os.devnull).open("w", encoding="utf-8")


def _tell(text: str) -> None:
    """Say why the command ends. Where nobody can read it, the exit status says it."""
    with suppress(OSError):
        click.echo(text, err=True)


def _finish(stream: TextIO) -> None:
    """Write what is left. Where that fails, it is dropped: Python would try again at exit, with a status of its own."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
