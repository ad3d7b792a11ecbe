"""Reading of large JSON texts in pieces, so that no other thread waits for long, and no more memory is taken than may be.

A decoder in C holds the interpreter from the first character of a text to the last one. Here regular expressions find pieces
of some ten thousand characters that are runs of members or elements; the decoder gets these one by one.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.errors import JSONTextError, JSONTooLarge, NumberOutOfRange
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import memory_of

PIECE: Final = 32_768
"""Characters after which a piece ends with the next run."""

_SPACE = r"[ \t\n\r]*+"
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# What is inside no other brackets, and not long.
_FLAT = rf'[\[{{](?:[^"\[\]{{}}]{{1,128}}+|{_STRING}){{0,128}}+[\]}}]'
_VALUE = rf'(?:{_STRING}|[^\s,:\[\]{{}}"]{{1,400}}+|{_FLAT})'
_NAME = rf"{_STRING}{_SPACE}:{_SPACE}"


def _token(name: str, opens: str) -> re.Pattern[str]:
    """What may come next in an array, or an object: a run of things with their commas, the last one, an end, or a beginning."""
    item = rf"{_SPACE}{name}{_VALUE}{_SPACE}"
    return re.compile(
        rf"(?P<run>(?:{item},){{1,64}}+)|(?P<last>{item})(?=[\]}}])|{_SPACE}(?:(?P<closes>[\]}}])|(?P<opens>{opens}))",
        re.DOTALL,
    )


_IN_ARRAY = _token("", r"\[+|\{")
_IN_OBJECT = _token(_NAME, rf"{_NAME}[\[{{]")
_AFTER = re.compile(rf"{_SPACE}(?:(?P<closes>[\]}}]+)|,)")
_SPACES = re.compile(_SPACE)

ReadPiece = Callable[[str, int], Any]
"""Reads a text that is nested no deeper than a number of levels. Raises `JSONTextError`."""


def loads_in_pieces(text: str, read_piece: ReadPiece, max_depth: int, max_memory: int | None) -> Any:
    """Reads a JSON text whose outermost value is an array or an object.

    Args:
        text: The text.
        read_piece: Reads a piece of it.
        max_depth: Arrays and objects may be nested so deeply.
        max_memory: So many bytes of memory the value may take; None: as many as it takes.

    Raises:
        JSONTextError: It is no JSON, or is nested too deeply; `JSONTooLarge` if it would take too much memory.
    """
    reader = _Reader(text, read_piece, max_depth, max_memory)
    try:
        return reader.read()
    except JSONTextError as error:
        refusal = error.with_traceback(None)  # its frames would keep what was read
    reader.dispose()
    raise refusal


class _Reader:
    def __init__(self, text: str, read_piece: ReadPiece, max_depth: int, max_memory: int | None) -> None:
        self._text = text
        self._read_piece = read_piece
        self._max_depth = max_depth
        self._max_memory = max_memory
        self._memory = 0
        self._whole: list[Any] = []
        # The arrays and objects around the place that was reached.
        self._around: list[Any] = [self._whole]
        self._name: str | None = None

    def read(self) -> Any:
        text = self._text
        position = _end(_SPACES.match(text))
        if text[position : position + 1] not in ("[", "{"):
            return self._read_piece(text, self._max_depth)
        self._open(text[position], None, position)
        position += 1
        while len(self._around) > 1:
            position = self._read_some(position)
        position = _end(_SPACES.match(text, position))
        if position < len(text):
            raise self._error("Extra data", position)
        return self._whole[0]

    def dispose(self) -> None:
        """Frees what was read, a part at a time."""
        self._around.clear()
        dispose(self._whole)

    def _read_some(self, position: int) -> int:
        """Reads on in the innermost array or object; returns where it has come to."""
        text = self._text
        container = self._around[-1]
        pattern = _IN_OBJECT if type(container) is dict else _IN_ARRAY
        start = position
        while (token := pattern.match(text, position)) is not None and token.lastgroup == "run":
            position = token.end()
            if position - start >= PIECE:
                self._add(container, start, position - 1)
                start = position
        if start < position:
            self._add(container, start, position - 1)
        if token is None:
            raise self._error("Expecting a value, a name or an end", position)
        end = token.end()
        if token.lastgroup == "last":
            self._add(container, position, end)
            return self._close(end)
        if token.lastgroup == "closes":
            if container:
                raise self._error("Illegal trailing comma", end - 1)
            return self._close(end - 1)
        opens = token["opens"]
        if type(container) is dict:
            name = self._read_piece(opens[: opens.rindex('"') + 1], 1)
            self._open(opens[-1], name, end - 1)
        else:
            for index, mark in enumerate(opens):
                self._open(mark, None, end - len(opens) + index)
        return end

    def _open(self, mark: str, name: str | None, position: int) -> None:
        if len(self._around) > self._max_depth:
            raise self._error(f"Nested too deeply: more than {self._max_depth} levels", position)
        container: Any = [] if mark == "[" else {}
        outer = self._around[-1]
        if name is None:
            outer.append(container)
        else:
            outer[name] = container
        self._around.append(container)
        self._count(200, position)

    def _close(self, position: int) -> int:
        """Leaves the innermost array or object, and those around it that end here as well."""
        while len(self._around) > 1:
            after = _AFTER.match(self._text, position)
            closes = None if after is None else after["closes"]
            if after is None:
                raise self._error("Expecting ',' delimiter", position)
            if closes is None:
                return after.end()
            first = after.start("closes")
            for index, mark in enumerate(closes):
                if len(self._around) == 1:
                    return first + index
                container = self._around.pop()
                if (type(container) is dict) != (mark == "}"):
                    raise self._error("Expecting ',' delimiter", first + index)
            position = after.end()
        return position

    def _add(self, container: Any, start: int, end: int) -> None:
        """Reads elements or members into their container."""
        is_object = type(container) is dict
        piece = self._text[start:end]
        wrapped = f"{{{piece}}}" if is_object else f"[{piece}]"
        try:
            found = self._read_piece(wrapped, self._max_depth - len(self._around) + 2)
        except JSONTextError as error:
            place = start + _index(wrapped, error.position) - 1
            if isinstance(error, NumberOutOfRange):
                raise NumberOutOfRange(self._position(place)) from None
            raise self._error(error.reason, place) from None
        if self._max_memory is not None:
            self._count(memory_of((found,), self._max_memory, Meter()), start)
        if is_object:
            container.update(found)
        else:
            container += found

    def _count(self, memory: int, position: int) -> None:
        self._memory += memory
        if self._max_memory is not None and self._memory > self._max_memory:
            raise JSONTooLarge(self._max_memory, self._position(position))

    def _error(self, reason: str, position: int) -> JSONTextError:
        return JSONTextError(reason, self._position(position))

    def _position(self, index: int) -> tuple[int, int]:
        return self._text.count("\n", 0, index) + 1, index - self._text.rfind("\n", 0, index)


def _end(match: re.Match[str] | None) -> int:
    return 0 if match is None else match.end()


def _index(text: str, position: tuple[int, int]) -> int:
    line, column = position
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1
