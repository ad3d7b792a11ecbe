"""Exit statuses of the command line. Imports nothing of the client: `flowgram --help` needs none of it."""

import enum

import click


class ExitStatus(enum.IntEnum):
    """The exit statuses of all commands."""

    SUCCEEDED = 0
    FAILED = 1
    """The task failed."""
    INVALID = 2
    """The command, the workflow or its inputs are wrong."""
    CANCELED = 3
    """The task was canceled."""
    UNREACHABLE = 4
    """The server cannot be reached, or does not answer."""
    REFUSED = 5
    """The server refused: no such task, too many tasks …"""
    UNFINISHED = 6
    """The task has not ended."""
    NOT_STARTED = 7
    """The server could not start."""
    UNEXPECTED = 70
    """Something went wrong that no other status stands for: a mistake of the program, or a package is missing."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """Nobody reads the output any more."""


EPILOG = """\b
Exit status:
  0  the task succeeded, or the command did
  1  the task failed
  2  the command, the workflow or its inputs are wrong
  3  the task was canceled
  4  the server cannot be reached
  5  the server refused: no such task, too many tasks …
  6  the task has not ended
  7  the server could not start
  70  something unexpected went wrong, or a package is missing
  130  interrupted by Ctrl-C
  141  nobody reads the output any more
"""


class CommandError(click.ClickException):
    """Something that ends the command with a message and an exit status."""

    def __init__(self, message: str, status: ExitStatus) -> None:
        super().__init__(message)
        self.status = status
