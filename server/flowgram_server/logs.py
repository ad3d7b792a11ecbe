"""Logs: structured lines on the standard error stream, of this package and of the libraries alike."""

import asyncio
import logging
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Literal, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, Processor

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]

_MAX_FIELD = 128
"""Characters of a field that a client has sent: it must not fill the disk."""

_QUIET = ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "asyncio", "uvicorn.access")
"""Libraries that tell at level info what an access log of theirs would."""

_TRACEBACK = "exception"
"""The one field that has lines."""

_GRPC_SERVER = "grpc._cython.cygrpc"
_DISCONNECT = "ExecuteBatchError raised in core by servicer method"


def shortened(text: str) -> str:
    """A text of a client as logs show it: of a long one, its beginning."""
    return text if len(text) <= _MAX_FIELD else f"{text[: _MAX_FIELD - 1]}…"


_more_fields: Callable[[], Mapping[str, str]] | None = None


def add_fields(more: Callable[[], Mapping[str, str]] | None) -> None:
    """Lets each line of this process have more fields, which are asked for when it is written; None: no more."""
    global _more_fields  # noqa: PLW0603 - logging is the process's own, and so is this
    _more_fields = more


def _with_more_fields(_: Any, __: str, fields: EventDict) -> EventDict:
    if _more_fields is not None:
        fields.update(_more_fields())
    return fields


class JSONLines:
    """Writes lines as the JSON format has them, many at a time: for what is logged so often that its cost counts.

    Lines that are added in one iteration of the event loop are written together at its end, with one system call.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []

    def add(self, level: str, event: str, fields: EventDict) -> None:
        """Adds a line; called on an event loop."""
        fields["event"] = event
        fields["level"] = level
        fields["timestamp"] = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        fields = _with_more_fields(None, "", fields)
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        line = _to_json(fields)
        if not line.isascii() or "\\" in line or "\x7f" in line:  # all else is printable
            line = _to_json(_escaped(None, "", fields))
        self._lines.append(line)

    def flush(self) -> None:
        """Writes what was added."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()


_json_lines: JSONLines | None = None


def json_lines() -> JSONLines | None:
    """What writes lines of the process's log where its format is JSON; None where it is another one."""
    return _json_lines if structlog.is_configured() else None


class _Lossy:
    """A stream that loses what cannot be written: neither a call nor the end of the server may fail for its log.

    Args:
        stream: Where to write.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.isatty = stream.isatty

    def write(self, text: str) -> int:
        """Writes a text, or loses it."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hands on what was written, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def configure_logs(level: LogLevel, log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Sets up logging for the whole process. Without a stream, it is the standard error stream.

    A line that cannot be written is lost.
    """
    global _json_lines  # noqa: PLW0603 - as above
    out = cast("TextIO", _Lossy(stream or sys.stderr))  # it has what loggers use
    is_console = log_format == "console" or (log_format == "auto" and out.isatty())
    _json_lines = None if is_console else JSONLines(out)
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_more_fields,
    ]
    # Tracebacks without the values of variables: those may be secrets.
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if is_console
        else structlog.processors.JSONRenderer(_to_json)
    )
    rendering: list[Processor] = [structlog.processors.format_exc_info, _escaped, renderer]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                *shared,
                structlog.stdlib.ExtraAdder(),
                structlog.stdlib.PositionalArgumentsFormatter(),
            ],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    handler.addFilter(_is_no_disconnect)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def _escaped(_: Any, __: str, fields: EventDict) -> EventDict:
    """Writes what steers a terminal, or breaks a line, as escapes: parts of a line may come from anywhere."""
    for name, value in fields.items():
        if isinstance(value, str) and not value.isprintable():
            fields[name] = "".join(
                mark if mark.isprintable() or (mark == "\n" and name == _TRACEBACK) else _escape(mark)
                for mark in value
            )
    return fields


def _escape(mark: str) -> str:
    return mark.encode("unicode_escape").decode("ascii")


def _is_no_disconnect(record: logging.LogRecord) -> bool:
    """Leaves out what gRPC logs, with a stack trace, whenever a client leaves while a message is on its way to it."""
    return record.name != _GRPC_SERVER or not record.getMessage().startswith(_DISCONNECT)


def _to_json(fields: Any, **_: Any) -> str:
    return orjson.dumps(fields, default=str).decode()
