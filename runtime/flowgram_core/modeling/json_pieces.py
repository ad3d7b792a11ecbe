"""Reading of large JSON texts in pieces, so that no other thread waits for long, and no more memory is taken than may be.

A decoder in C holds the interpreter from the first character of a text to the last one. Here regular expressions find pieces
of some ten thousand characters that are runs of members or elements; the decoder gets these one by one.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from flowgram_core.modeling import large_lists
from flowgram_core.modeling.disposal import dispose
from flowgram_core.modeling.errors import JSONTextError, JSONTooLarge, JSONTooManyMembers, NumberOutOfRange
from flowgram_core.modeling.garbage import LARGE, forget
from flowgram_core.modeling.meter import Meter
from flowgram_core.modeling.sizes import memory_of

PIECE: Final = 32_768
"""Characters after which a piece ends with the next run."""

# All repetitions have a bound, so that no match takes more than some milliseconds. What is longer is read by itself.
# Groups are repeated within atomic ones: before Python 3.11.5 a possessive one keeps the half of a repetition that fails.
_SPACE = r"[ \t\n\r]{0,256}+"
_STRING = r'"[^"\\]{0,4096}+(?>(?:\\.[^"\\]{0,128}+){0,64})"'
_SHORT_STRING = r'"[^"\\]{0,64}+(?>(?:\\.[^"\\]{0,16}+){0,8})"'
# What is inside no other brackets, and not long.
_FLAT = rf'[\[{{](?>(?:[^"\[\]{{}}]{{1,128}}+|{_SHORT_STRING}){{0,128}})[\]}}]'
_VALUE = rf'(?:{_STRING}|[^\s,:\[\]{{}}"]{{1,400}}+|{_FLAT})'
_NAME = rf"{_STRING}{_SPACE}:{_SPACE}"

_WINDOW: Final = 64 * 1024
"""Characters of a long text, or of blanks, that are looked at in one go."""
_LONGEST_SCALAR: Final = 64 * 1024
"""Characters of a number, or of a word."""


def _token(name: str, opens: str) -> re.Pattern[str]:
    """What may come next in an array, or an object: a run of things with their commas, the last one, an end, or a beginning."""
    item = rf"{_SPACE}{name}{_VALUE}{_SPACE}"
    return re.compile(
        rf"(?P<run>(?>(?:{item},){{1,32}}))|(?P<last>{item})(?=[\]}}])|{_SPACE}(?:(?P<closes>[\]}}])|(?P<opens>{opens}))",
        re.DOTALL,
    )


_IN_ARRAY = _token("", r"\[{1,256}+|\{")
_IN_OBJECT = _token(_NAME, rf"{_NAME}[\[{{]")
_AFTER = re.compile(r"(?P<closes>[\]}]{1,256}+)|,")
_SPACES = re.compile(rf"[ \t\n\r]{{1,{_WINDOW}}}+")
_STRING_PART = re.compile(r'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
_SCALAR = re.compile(rf'[^\s,:\[\]{{}}"]{{1,{_LONGEST_SCALAR + 1}}}+')
# Behind these a string must not be cut: an escape that goes on, and the first half of a surrogate pair, with some of the second.
_UNFINISHED = re.compile(r"\\u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\u[0-9a-fA-F]{0,3})?)\Z")
_PAIR: Final = 12
"""Characters of two escapes like `\\ud83d`."""

ReadPiece = Callable[[str, int], Any]
"""Reads a text that is nested no deeper than a number of levels. Raises `JSONTextError`."""


def loads_in_pieces(
    text: str, read_piece: ReadPiece, max_depth: int, max_memory: int | None, max_members: int | None = None
) -> Any:
    """Reads a JSON text whose outermost value is an array or an object.

    Args:
        text: The text.
        read_piece: Reads a piece of it.
        max_depth: Arrays and objects may be nested so deeply.
        max_memory: So many bytes of memory the value may take; None: as many as it takes.
        max_members: So many members an object may have; None: any number.

    Raises:
        JSONTextError: It is no JSON, or is nested too deeply; `JSONTooLarge` if it would take too much memory, or has too
            large an object.
    """
    reader = _Reader(text, read_piece, max_depth, max_memory, max_members)
    try:
        return reader.read()
    except JSONTextError as error:
        refusal = error.with_traceback(
            None
        )  # its frames, and those of what led to it, would keep what was read
        refusal.__context__ = None
    reader.dispose()
    try:
        raise refusal
    finally:
        del refusal  # or it and this frame, with the text, would keep each other until the next collection


class _Reader:
    def __init__(
        self,
        text: str,
        read_piece: ReadPiece,
        max_depth: int,
        max_memory: int | None,
        max_members: int | None,
    ) -> None:
        self._text = text
        self._read_piece = read_piece
        self._max_depth = max_depth
        self._max_memory = max_memory
        self._max_members = max_members
        self._memory = 0
        self._whole: list[Any] = []
        # The arrays and objects around the position that was reached.
        self._around: list[Any] = [self._whole]
        self._name: str | None = None

    def read(self) -> Any:
        text = self._text
        position = self._skip_blanks(0)
        if text[position : position + 1] not in ("[", "{"):
            return self._read_lone_value(position)
        self._open(text[position], None, position)
        position += 1
        while len(self._around) > 1:
            position = self._read_some(position)
        self._check_end(position)
        return self._whole[0]

    def _check_end(self, position: int) -> None:
        position = self._skip_blanks(position)
        if position < len(self._text):
            raise self._error("Extra data", position)

    def _read_lone_value(self, position: int) -> Any:
        """Reads a text that is neither an array nor an object."""
        value, position = self._read_long_value(position)
        self._check_end(position)
        return value

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
            return self._read_by_itself(container, position)
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

    def _read_by_itself(self, container: Any, position: int) -> int:
        """Reads one element or member, however long it is, and what is behind it; returns where it has come to."""
        position = self._skip_blanks(position)
        name = None
        mark = self._text[position : position + 1]
        if mark in ("]", "}"):
            if container:
                raise self._error("Illegal trailing comma", position)
            return self._close(position)
        if type(container) is dict:
            if mark != '"':
                raise self._error("Expecting a name or an end", position)
            name, position = self._read_string(position)
            position = self._skip_blanks(position)
            if self._text[position : position + 1] != ":":
                raise self._error("Expecting ':' delimiter", position)
            position = self._skip_blanks(position + 1)
            mark = self._text[position : position + 1]
        if mark in ("[", "{"):
            self._open(mark, name, position)
            return position + 1
        value, end = self._read_long_value(position)
        if self._max_memory is not None:
            self._count(memory_of((value,), self._max_memory, Meter()), position)
        self._put(container, name, value, position)
        end = self._skip_blanks(end)
        if self._text[end : end + 1] == ",":
            return end + 1
        return self._close(end)

    def _read_long_value(self, position: int) -> tuple[Any, int]:
        """Reads a string, a number or a word; returns it, and the position behind it."""
        if self._text[position : position + 1] == '"':
            return self._read_string(position)
        scalar = _SCALAR.match(self._text, position)
        if scalar is None:
            raise self._error("Expecting a value, a name or an end", position)
        if scalar.end() - position > _LONGEST_SCALAR:
            raise self._error(f"A number or word has more than {_LONGEST_SCALAR} characters", position)
        return self._read_at(scalar[0], position), scalar.end()

    def _read_string(self, start: int) -> tuple[str, int]:
        """Reads a string; returns it, and the position behind it."""
        text = self._text
        parts: list[str] = []
        position = start + 1
        while True:
            window_end = position + _WINDOW
            end = _end(_STRING_PART.match(text, position, window_end))
            is_last = text[end : end + 1] == '"'
            if not is_last:
                if end == position or end >= len(text):
                    raise self._error("Unterminated string starting at", start)
                end = _cut(text, position, end)
            parts.append(self._read_at(f'"{text[position:end]}"', position - 1))
            if is_last:
                return "".join(parts), end + 1
            position = end

    def _read_at(self, piece: str, position: int) -> Any:
        """Reads a piece of the text that is a value; raises errors with the place in the text."""
        try:
            return self._read_piece(piece, 1)
        except NumberOutOfRange:
            raise NumberOutOfRange(self._position(position)) from None
        except JSONTextError as error:
            raise self._error(error.reason, position + _index(piece, error.position)) from None

    def _skip_blanks(self, position: int) -> int:
        while (blanks := _SPACES.match(self._text, position)) is not None:
            position = blanks.end()
        return position

    def _open(self, mark: str, name: str | None, position: int) -> None:
        if len(self._around) > self._max_depth:
            raise self._error(f"Nested too deeply: more than {self._max_depth} levels", position)
        container: Any = [] if mark == "[" else {}
        outer = self._around[-1]
        self._put(outer, name, container, position)
        self._around.append(container)
        self._count(200, position)

    def _close(self, position: int) -> int:
        """Leaves the innermost array or object, and those around it that end here as well."""
        while len(self._around) > 1:
            position = self._skip_blanks(position)
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
            index = start + _index(wrapped, error.position) - 1
            if isinstance(error, NumberOutOfRange):
                raise NumberOutOfRange(self._position(index)) from None
            raise self._error(error.reason, index) from None
        if self._max_memory is not None:
            self._count(memory_of((found,), self._max_memory, Meter()), start)
        if is_object:
            container.update(found)
            self._check_members(container, start)
            return
        before = len(container)
        container += found
        if before <= LARGE < len(container):
            forget(container)
        if before <= large_lists.LARGE < len(container):
            large_lists.let_grow(container)

    def _put(self, container: Any, name: str | None, value: Any, position: int) -> None:
        if name is None:
            container.append(value)
        else:
            container[name] = value
            self._check_members(container, position)

    def _check_members(self, container: dict[str, Any], position: int) -> None:
        if self._max_members is not None and len(container) > self._max_members:
            raise JSONTooManyMembers(self._max_members, self._position(position))

    def _count(self, memory: int, position: int) -> None:
        self._memory += memory
        if self._max_memory is not None and self._memory > self._max_memory:
            raise JSONTooLarge(self._max_memory, self._position(position))

    def _error(self, reason: str, position: int) -> JSONTextError:
        return JSONTextError(reason, self._position(position))

    def _position(self, index: int) -> tuple[int, int]:
        return self._text.count("\n", 0, index) + 1, index - self._text.rfind("\n", 0, index)


def _cut(text: str, begin: int, end: int) -> int:
    """Where to cut a string that is read from `begin`, and has no end before `end`: there, or before an escape."""
    start = max(begin, end - _PAIR)
    while (unfinished := _UNFINISHED.search(text, start, end)) is not None:
        start = unfinished.start()
        # The backslash may be the second one of two.
        if start > begin and _end(_STRING_PART.match(text, begin, start)) == start:
            return start
        start += 1
    return end


def _end(match: re.Match[str] | None) -> int:
    return 0 if match is None else match.end()


def _index(text: str, position: tuple[int, int]) -> int:
    line, column = position
    start = 0
    for _ in range(line - 1):
        start = text.index("\n", start) + 1
    return start + column - 1
