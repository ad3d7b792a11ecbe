import asyncio
import errno
import io
import json
import logging
import re

import pytest
import structlog

from flowgram_core.hosting.unexpected_errors import log_unexpected_error
from flowgram_server.logs import LogFormat, configure_logs, json_lines


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_libraries_and_the_server_log_alike() -> None:
    """A line of the runtime, which knows the standard library only, has the form of the server's lines."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    structlog.get_logger("a").info("one", task_id="t1")
    logging.getLogger("flowgram_core.embedded.task_runner").info("two %s", "x", extra={"task_id": "t2"})
    one, two = lines(stream)
    assert one.keys() == two.keys() == {"event", "level", "timestamp", "task_id"}
    assert (one["event"], one["level"], one["task_id"]) == ("one", "info", "t1")
    assert (two["event"], two["level"], two["task_id"]) == ("two x", "info", "t2")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_tracebacks_have_no_values(log_format: str) -> None:
    """A traceback shows where an error came from, and no variable: it could be a secret."""
    stream = io.StringIO()
    configure_logs("info", log_format, stream)  # type: ignore[arg-type]

    def fail(api_key: str) -> None:
        raise ValueError("no")

    try:
        fail("sk-" + "1234")
    except ValueError as error:
        structlog.get_logger().error("server", exc_info=error)
        logging.getLogger("library").exception("library")
    text = stream.getvalue()
    assert text.count("ValueError: no") == 2
    assert "sk-1234" not in text


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_errors_of_node_types_have_their_traceback(log_format: str) -> None:
    """Scrubbed of secrets, and in the same place as other tracebacks."""
    stream = io.StringIO()
    configure_logs("info", log_format, stream)  # type: ignore[arg-type]
    log_unexpected_error(ValueError("no sk-0123456789abcdef"), ["sk-0123456789abcdef"], task_id="t1")
    text = stream.getvalue()
    assert "t1" in text
    assert "ValueError: no sk-…cdef" in text
    if log_format == "json":
        assert lines(stream)[0]["exception"] == "ValueError: no sk-…cdef"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_nothing_in_a_line_steers_a_terminal(log_format: str) -> None:
    """Control characters, turned text and halves of characters come as escapes, in every field and in tracebacks."""
    stream = io.StringIO()
    configure_logs("info", log_format, stream)  # type: ignore[arg-type]
    text = "\x1b[31m\r\n\x00\x9b\u202e\ud800\u2028"
    shown = "\\x1b[31m\\r\\n\\x00\\x9b\\u202e\\ud800\\u2028"
    structlog.get_logger().info("one", task_id=text, plain="Grüße 🌍 a=b")
    logging.getLogger("x").error(f"two {text}", exc_info=ValueError(text), extra={"field": text})
    written = stream.getvalue()
    assert not [mark for mark in written if not mark.isprintable() and mark != "\n"]
    assert "Grüße 🌍 a=b" in written
    if log_format == "json":
        one, two = lines(stream)
        assert one["task_id"] == shown
        assert (two["event"], two["field"]) == (f"two {shown}", shown)
        assert two["exception"] == f"ValueError: {shown}".replace("\\n", "\n")
    else:
        assert written.count("\\x1b[31m") == 4


def test_levels() -> None:
    """What is less grave than the level is left out, of libraries too."""
    stream = io.StringIO()
    configure_logs("warning", "json", stream)
    structlog.get_logger().info("one")
    logging.getLogger("x").info("two")
    structlog.get_logger().warning("three")
    logging.getLogger("x").warning("four")
    assert [line["event"] for line in lines(stream)] == ["three", "four"]


def test_chatty_libraries_are_quiet() -> None:
    """HTTP clients that log every request do not fill the server's log."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    logging.getLogger("httpx").info("HTTP Request: GET https://example.com/?token=1")
    assert not lines(stream)


def test_console_is_for_people() -> None:
    """The console format is no JSON, and a file that is no terminal gets no colors."""
    stream = io.StringIO()
    configure_logs("info", "console", stream)
    structlog.get_logger().info("hello", task_id="t1")
    assert "hello" in stream.getvalue()
    assert "task_id=t1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_auto_is_json_where_nobody_looks() -> None:
    """Without a terminal the format is JSON."""
    stream = io.StringIO()
    configure_logs("info", "auto", stream)
    structlog.get_logger().info("hello")
    assert lines(stream)[0]["event"] == "hello"


def test_a_client_that_leaves_is_no_error() -> None:
    """What gRPC logs when a watcher goes away in the middle of a message is left out; its other errors are not."""
    stream = io.StringIO()
    configure_logs("info", "json", stream)
    logger = logging.getLogger("grpc._cython.cygrpc")
    logger.error("ExecuteBatchError raised in core by servicer method [/x/WatchTask]")
    assert not stream.getvalue()
    logger.error("Unexpected ValueError raised by servicer method [/x/TaskRun]")
    assert lines(stream)[0]["level"] == "error"


class FullDisk(io.StringIO):
    """A stream that has room now and then."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)

    def flush(self) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_line_that_cannot_be_written_is_lost(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str]
) -> None:
    """It breaks nothing, says nothing elsewhere, and the lines after it come when there is room again."""
    stream = FullDisk()
    configure_logs("info", log_format, stream)
    structlog.get_logger().info("one")
    logging.getLogger("x").info("two")
    stream.full = False
    structlog.get_logger().info("three")
    logging.getLogger("x").info("four")
    written = stream.getvalue()
    assert [word for word in ("one", "two", "three", "four") if word in written] == ["three", "four"]
    assert capsys.readouterr() == ("", "")


async def test_lines_that_are_written_together() -> None:
    """They are as the logger would have written them, one write for all of an iteration of the event loop."""
    stream = Writes()
    configure_logs("info", "json", stream)
    added = json_lines()
    assert added is not None
    fields = {"text": 'a\nb\x1b[2Jc\x7f\u202e\u00e9\\ "', "number": 1.5, "none": None}
    structlog.get_logger().info("call", **fields)
    added.add("info", "call", {**fields})
    added.add("info", "plain", {"method": "/a/b"})
    assert len(stream.written) == 1
    await asyncio.sleep(0)
    one, together = stream.written
    expected, (first, second) = json.loads(one), map(json.loads, together.splitlines())
    assert [*first] == [*expected]
    assert {**first, "timestamp": ""} == {**expected, "timestamp": ""}
    assert re.fullmatch(r"[0-9T:.-]{26}Z", first["timestamp"])
    assert {**second, "timestamp": ""} == {
        "method": "/a/b",
        "event": "plain",
        "level": "info",
        "timestamp": "",
    }
    added.flush()
    assert len(stream.written) == 2


def test_the_console_has_no_lines_of_json() -> None:
    """What would write them is for the JSON format alone."""
    configure_logs("info", "console", io.StringIO())
    assert json_lines() is None


class Writes(io.StringIO):
    """A stream that keeps apart what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)
