"""The audit log: a stream of its own with one line of JSON for each decision about a call.

A thread of its own writes it, so that a slow disk holds up nobody. Of decisions that wait for it there is a bound: beyond it lines are
lost, and their number is written as soon as there is room again.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, Final

import orjson
import structlog

from flowgram_core.concurrency.clock import Clock
from flowgram_server.auth.errors import CredentialFileUnusable

REFUSALS: Final = frozenset({"CREDENTIALS_MISSING", "CREDENTIALS_INVALID", "PERMISSION_DENIED"})
"""The reasons of calls that who calls may not make."""

STANDARD_OUTPUT: Final = Path("-")
"""Stands for the standard output where a file is named."""

_MAX_WAITING: Final = 50_000
_COLLECTED: Final = 0.05
"""Seconds in which lines are collected before they are written."""

_FILE_MODE: Final = 0o600

_log = structlog.get_logger(__name__)


_Decision = tuple[int, Callable[[Any], str], Any]
"""When it was made, and what makes the members of its line of the rest; see `write_later`."""


def quoted(text: str | None) -> str:
    """A text as JSON, in ASCII, whatever is in it; null for None."""
    return "null" if text is None else encode_basestring_ascii(text)


class AuditLog:
    """Writes decisions, one a line.

    Args:
        path: The file that they are added to; a file of this name is made anew where it was moved away. `-`: standard output.
        clock: Tells the time of a decision.

    Raises:
        CredentialFileUnusable: The file cannot be written.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._waiting: deque[_Decision] = deque()
        self._times = _Times()
        self._lost = 0
        self._news = threading.Event()
        self._awake = False
        self._closing = threading.Event()
        self._failed = False
        try:
            self._descriptor = _open(path)
        except OSError as error:
            raise CredentialFileUnusable(f"{path}: {error.strerror}") from None
        self._thread = threading.Thread(target=self._run, name="audit log", daemon=True)
        self._thread.start()

    def write(self, **fields: Any) -> None:
        """Adds a line, with its time; returns at once."""
        self.write_later(_members, fields)

    def write_later(self, members_of: Callable[[Any], str], decision: Any) -> None:
        """Adds a line, with its time; returns at once.

        Args:
            members_of: Makes the other members of its JSON object, without the braces, in the thread that writes.
            decision: Of what.
        """
        if len(self._waiting) >= _MAX_WAITING:
            self._lost += 1
            return
        self._waiting.append((self._clock.now(), members_of, decision))
        if not self._awake:
            self._awake = True
            self._news.set()

    def close(self) -> None:
        """Writes what is left."""
        self._closing.set()
        self._news.set()
        self._thread.join()
        if self._path != STANDARD_OUTPUT:
            os.close(self._descriptor)

    def _run(self) -> None:
        while True:
            self._news.wait()
            # Lines that come together are written together: waking this thread for each would cost more than the line.
            self._closing.wait(_COLLECTED)
            self._news.clear()
            closing = self._closing.is_set()  # in this order: what closes sets the two the other way round
            self._awake = False  # what is added from here on wakes it again
            self._write_waiting()
            if closing and not self._waiting:
                return

    def _write_waiting(self) -> None:
        lines = []
        while self._waiting:
            time, members_of, decision = self._waiting.popleft()
            lines.append(self._line(time, members_of(decision)))
        lost, self._lost = self._lost, 0
        if lost:
            lines.append(self._line(self._clock.now(), f'"lost":{lost}'))
        if not lines:
            return
        try:
            self._follow_rotation()
            _write_all(self._descriptor, "".join(lines).encode())
        except OSError as error:
            if not self._failed:
                _log.error("the audit log cannot be written: lines are lost", reason=error.strerror)
            self._failed = True
        else:
            self._failed = False

    def _line(self, time: int, members: str) -> str:
        return f'{{"time":"{self._times.shown(time)}",{members}}}\n'

    def _follow_rotation(self) -> None:
        """Opens the file anew where another one, or none, has its name now."""
        if self._path == STANDARD_OUTPUT:
            return
        ours = os.fstat(self._descriptor)
        with suppress(FileNotFoundError):
            there = self._path.stat()
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        opened = _open(self._path)
        os.close(self._descriptor)
        self._descriptor = opened


@contextmanager
def open_audit_log(path: Path | None, clock: Clock) -> Iterator[AuditLog | None]:
    """The audit log in a file, for as long as the block lasts; None where there is to be none. Raises `CredentialFileUnusable`."""
    if path is None:
        yield None
        return
    audit = AuditLog(path, clock)
    try:
        yield audit
    finally:
        audit.close()


class _Times:
    """Writes times as texts. The lines of a second share most of it."""

    def __init__(self) -> None:
        self._second = 0
        self._text = ""

    def shown(self, time: int) -> str:
        """A time in microseconds since the epoch, as ISO 8601 has it, in milliseconds and UTC."""
        second, rest = divmod(time, 1_000_000)
        if second != self._second or not self._text:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{rest // 1000:03d}Z"


def _members(fields: dict[str, Any]) -> str:
    try:
        text = orjson.dumps(fields, default=str)
    except TypeError:  # half a surrogate pair, which no line may be lost for
        text = orjson.dumps(
            {name: str(value).encode("utf-8", "replace").decode() for name, value in fields.items()}
        )
    return text.decode()[1:-1]


def _open(path: Path) -> int:
    if path == STANDARD_OUTPUT:
        return sys.stdout.fileno()
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
