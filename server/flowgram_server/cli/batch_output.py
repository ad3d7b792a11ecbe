"""The output of a batch: one JSON line per row. After an interruption it says which rows are done.

Beside the file lies another one, `FILE.batch`, with the id of the batch while it is under way: under the same id no row is run
twice, whatever became of the connection, the server, or this program.
"""

import hashlib
import json
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import click

from .exits import CommandError, ExitStatus
from .json_output import dump


class BatchOutput:
    """Where outcomes go, and what is known from a former run.

    Args:
        path: The file; None writes to the standard output, and then nothing can be resumed.
        contents: What the batch is made of; another one cannot be resumed under this file.
        resume: Whether to go on with a former run.

    Attributes:
        batch_id: Names the batch.
        done: The numbers of the rows that have an outcome already.

    Raises:
        CommandError: The file is there already, or is not of this batch.
    """

    def __init__(self, path: Path | None, contents: bytes, *, resume: bool) -> None:
        self.batch_id = str(uuid.uuid4())
        self.done: set[int] = set()
        self._path = path
        self._state = None if path is None else path.with_name(f"{path.name}.batch")
        self._digest = hashlib.sha256(contents).hexdigest()
        try:
            if self._state is not None and path is not None:
                if resume and self._state.exists():
                    self._resume(path, self._state)
                elif path.exists() and (not resume or path.stat().st_size):
                    text = "is done" if resume else "is there already: --resume goes on with it, or remove it"
                    raise CommandError(f"{path} {text}", ExitStatus.INVALID)
                else:
                    self._state.write_text(json.dumps({"batch": self.batch_id, "contents": self._digest}))
            self._file = None if path is None else path.open("a", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{path}: {error.strerror}", ExitStatus.INVALID) from None

    def _resume(self, path: Path, state: Path) -> None:
        try:
            known = json.loads(state.read_text())
            self.batch_id = str(known["batch"])
            if known["contents"] != self._digest:
                text = f"{path} is of another batch: its workflow or its rows were different"
                raise CommandError(text, ExitStatus.INVALID)
        except (ValueError, LookupError, TypeError):
            raise CommandError(f"{state} is damaged: remove it and {path}", ExitStatus.INVALID) from None
        if not path.exists():
            return
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # the program ended within a line
            with path.open("r+b") as file:
                file.truncate(whole)
        for line in data[:whole].splitlines():
            self.done.add(int(json.loads(line)["row"]))

    def write(self, outcome: dict[str, Any]) -> None:
        """Writes the outcome of a row."""
        line = dump(outcome)
        if self._file is None:
            click.echo(line)
            return
        self._file.write(f"{line}\n")
        self._file.flush()

    def finish(self) -> None:
        """Notes that every row has its outcome."""
        if self._state is not None:
            self._state.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
