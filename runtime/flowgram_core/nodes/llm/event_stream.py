"""Server-Sent Events, as they come in pieces. Source: the HTML standard, "Interpreting an event stream"."""

import re
from typing import Final

_LINE_END: Final = re.compile(rb"\r\n?|\n")
_DATA: Final = b"data:"
_LONG: Final = 1024
"""Bytes from which on the value of a line of data is kept as it comes: to copy a line of megabytes takes long."""


Event = tuple[bytes, bytes | bytearray]
"""An event: its type, empty if it has none, and its data, which are never empty."""


class EventStream:
    """Takes the pieces of a stream, wherever they begin and end, and gives its events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_carriage_return = False
        self._type = b""
        # Each line with its end: a list of as many empty lines as may come would take much longer.
        self._data = bytearray()
        self._data_size = 0
        self._is_open = False  # the last line of the data goes on

    @property
    def held(self) -> int:
        """Bytes that are kept until their event is complete."""
        return len(self._line) + self._data_size

    @property
    def unfinished(self) -> bytes:
        """The data of an event that has not ended, in the end one without the empty line after it."""
        if self._is_open:
            return bytes(self._data)
        last = bytes(self._line)
        return bytes(self._data + _value(last) if last.startswith(b"data") else self._data[:-1])

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in this piece."""
        events: list[Event] = []
        if not piece:
            return events
        if self._after_carriage_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_carriage_return = piece.endswith(b"\r")
        lines = _LINE_END.split(piece) if b"\r" in piece else piece.split(b"\n")
        rest = lines.pop()
        for line in lines:
            if self._is_open:
                self._is_open = False
                self._add(line + b"\n")
                continue
            if self._line:
                self._line += line
                event = self._take(bytes(self._line))
                self._line.clear()
            else:
                event = self._take(line)
            if event is not None:
                events.append(event)
        if self._is_open:
            self._add(rest)
            return events
        self._line += rest
        if len(self._line) > _LONG and self._line.startswith(_DATA):
            self._is_open = True
            self._data_size += len(_DATA)
            self._add(_value(bytes(self._line)))
            self._line.clear()
        return events

    def _add(self, value: bytes) -> None:
        self._data += value
        self._data_size += len(value)

    def _take(self, line: bytes) -> Event | None:
        """Takes a line; the empty one ends an event. An event without data is none."""
        if not line:
            data, kind = self._data, self._type
            self._type, self._data, self._data_size = b"", bytearray(), 0
            if len(data) <= 1:
                return None
            del data[-1:]
            return kind, bytes(data) if len(data) <= _LONG else data
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
