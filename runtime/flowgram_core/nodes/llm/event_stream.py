"""Server-Sent Events, as they come in pieces. Source: the HTML standard, "Interpreting an event stream"."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_LINE_END: Final = re.compile(rb"\r\n?|\n")


class Event(NamedTuple):
    """An event: its type, empty if it has none, and its data, which are never empty."""

    type: bytes
    data: bytes


class EventStream:
    """Takes the pieces of a stream, wherever they begin and end, and gives its events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_carriage_return = False
        self._type = b""
        self._data = (
            bytearray()
        )  # each line with its end: a list of as many empty lines as may come would take much longer
        self._data_size = 0

    @property
    def held(self) -> int:
        """Bytes that are kept until their event is complete."""
        return len(self._line) + self._data_size

    @property
    def unfinished(self) -> bytes:
        """The data of an event that has not ended, in the end one without the empty line after it."""
        last = bytes(self._line)
        return bytes(self._data + _value(last) if last.startswith(b"data") else self._data[:-1])

    def feed(self, piece: bytes) -> Iterator[Event]:
        """The events that end in this piece."""
        if not piece:
            return
        if self._after_carriage_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_carriage_return = piece.endswith(b"\r")
        *lines, rest = _LINE_END.split(piece)
        for line in lines:
            if self._line:
                self._line += line
                event = self._take(bytes(self._line))
                self._line.clear()
            else:
                event = self._take(line)
            if event is not None:
                yield event
        self._line += rest

    def _take(self, line: bytes) -> Event | None:
        """Takes a line; the empty one ends an event. An event without data is none."""
        if not line:
            event = Event(self._type, bytes(self._data[:-1])) if len(self._data) > 1 else None
            self._type, self._data, self._data_size = b"", bytearray(), 0
            return event
        name = line.partition(b":")[0]
        if name == b"data":
            self._data += _value(line)
            self._data += b"\n"
            self._data_size += len(line)
        elif name == b"event":
            self._type = _value(line)
        return None


def _value(line: bytes) -> bytes:
    return line.partition(b":")[2].removeprefix(b" ")
