"""Large requests: their texts are decoded in short pieces, so that no other call waits for them.

Protocol Buffers decode a message in one go, and a text field anew each time that it is read: for 16 MB beyond ASCII each takes a
tenth of a second, in which the interpreter does nothing else. Here only what is left of a message without its large texts goes
to the library.
"""

import codecs
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from flowgram_server.message_fields import DELIMITED, fields_of
from flowgram_server.rpc.errors import ArgumentInvalid, Violation
from flowgram_server.rpc.malformed_requests import malformed_fields
from flowgram_server.rpc.wire import varint

MAX_FIELDS: Final = 4096
"""Fields of one large message, besides those of the messages in it. One of the contract has ten, and 64 labels."""
MAX_REST: Final = 256 * 1024
"""Bytes that a request may have besides its large texts: labels, names and ids have less."""
MAX_RUNS: Final = 65_536
"""Runs of a batch in one large message."""
LARGE_FIELD: Final = 64 * 1024
"""Bytes of a text that is decoded here."""
PART_BYTES: Final = 128 * 1024
_FIELDS_AT_ONCE: Final = 1000
"""They are decoded in about a millisecond."""

_PIECE: Final = 256 * 1024
"""Bytes that are decoded at once: a millisecond at most."""
_TEXT: Final = FieldDescriptor.TYPE_STRING
_MESSAGE: Final = FieldDescriptor.TYPE_MESSAGE

_Message = TypeVar("_Message", bound=Message)


class LargeMessage:
    """Stands for a message: what was read ahead is there as it is, and all else is the message's.

    Args:
        rest: The message without its large texts.
        read: The values of fields that were read ahead, by name.
    """

    __slots__ = ("read", "rest")

    def __init__(self, rest: Message, read: Mapping[str, Any]) -> None:
        self.rest = rest
        self.read = read

    def __getattr__(self, name: str) -> Any:
        return self.read[name] if name in self.read else getattr(self.rest, name)


def rest_of(message: object) -> Any:
    """A message, or of one that was read ahead what is left of it: without its large texts."""
    return message.rest if isinstance(message, LargeMessage) else message


def decode_in_pieces(request_type: type[_Message], data: bytes) -> _Message:
    """Decodes a large message; for a thread.

    Returns:
        The message, or what stands for one; see `LargeMessage`. The hash of its schema is computed already.

    Raises:
        ArgumentInvalid: It is no such message, has too many fields, or too much beside its texts.
    """
    try:
        return cast("_Message", _Reader().read(request_type.DESCRIPTOR, memoryview(data)))
    except DecodeError:
        raise _undecodable(request_type) from None


def parts_of(request_type: type[Message], data: bytes, first: frozenset[int]) -> list[bytes]:
    """Cuts a large message into parts, each a message of the same type, which together say what it says.

    A part has at most `PART_BYTES` bytes, unless it is a single field, and a thousand fields.

    Args:
        request_type: The type.
        data: The message.
        first: Fields that come first, by their numbers, together in one part.

    Raises:
        ArgumentInvalid: The bytes are no message, or it has too many fields.
    """
    view = memoryview(data)
    head: list[memoryview] = []
    parts: list[list[memoryview]] = []
    size = 0
    try:
        for count, field in enumerate(fields_of(view)):
            if count >= MAX_RUNS:
                raise ArgumentInvalid(Violation("runs", f"are more than {MAX_RUNS}, in one message"))
            found = view[field.start : field.end]
            if field.number in first:
                head.append(found)
                continue
            if not parts or size + len(found) > PART_BYTES or len(parts[-1]) >= _FIELDS_AT_ONCE:
                parts.append([])
                size = 0
            parts[-1].append(found)
            size += len(found)
    except DecodeError:
        raise _undecodable(request_type) from None
    return [b"".join(part) for part in (head, *parts) if part]


def _undecodable(request_type: type[Message]) -> ArgumentInvalid:
    return ArgumentInvalid(Violation("", f"the request is not a {request_type.DESCRIPTOR.full_name}"))


class _Reader:
    def __init__(self) -> None:
        self._rest_bytes = 0

    def read(self, descriptor: Any, data: memoryview) -> Any:
        """The message that bytes are, or what stands for it."""
        rest: list[memoryview | bytes] = []
        read: dict[str, Any] = {}
        among: Counter[str] = Counter()  # of each field that may be repeated, how many there were
        found: list[tuple[str, int, Any]] = []
        for count, field in enumerate(fields_of(data)):
            if count >= MAX_FIELDS:
                raise ArgumentInvalid(Violation("", f"the request has more than {MAX_FIELDS} fields"))
            declared = descriptor.fields_by_number.get(field.number)
            is_large = field.end - field.begin > LARGE_FIELD and field.wire_type == DELIMITED
            if declared is None:
                if not is_large:
                    self._keep(rest, data[field.start : field.end])
                continue  # of a newer version of the contract, or of none
            name = declared.name
            if declared.type == _TEXT:
                if is_large:
                    read[name] = _decoded(name, data[field.begin : field.end])
                    continue
                read.pop(name, None)  # the last one counts
            elif declared.type == _MESSAGE:
                among[name] += 1
                if is_large and not declared.message_type.GetOptions().map_entry:
                    inner = self.read(declared.message_type, data[field.begin : field.end])
                    found.append((name, among[name] - 1, inner))
                    # Something is there, whatever is in it.
                    self._keep(rest, varint(field.number << 3 | DELIMITED) + varint(0))
                    continue
            self._keep(rest, data[field.start : field.end])
        joined, message_type = b"".join(rest), GetMessageClass(descriptor)
        try:
            message = message_type.FromString(joined)
        except DecodeError:
            raise ArgumentInvalid(*malformed_fields(message_type, joined)) from None
        for name, index, inner in found:
            if _is_repeated(message, name):
                read.setdefault(name, [*getattr(message, name)])[index] = inner
            else:
                read[name] = inner
        return LargeMessage(message, read) if read else message

    def _keep(self, rest: list[memoryview | bytes], part: memoryview | bytes) -> None:
        rest.append(part)
        self._rest_bytes += len(part)
        if self._rest_bytes > MAX_REST:
            text = f"the request has more than {MAX_REST} bytes besides its schema and inputs"
            raise ArgumentInvalid(Violation("", text))


def _is_repeated(message: Message, name: str) -> bool:
    try:
        message.HasField(name)
    except ValueError:  # only what is there once may be missing
        return True
    return False


def _decoded(name: str, value: memoryview) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    parts: list[str] = []
    for start in range(0, len(value), _PIECE):
        is_last = start + _PIECE >= len(value)
        before = len(decoder.getstate()[0])
        try:
            parts.append(decoder.decode(value[start : start + _PIECE], is_last))
        except UnicodeDecodeError as error:
            position = start - before + error.start
            raise ArgumentInvalid(Violation(name, f"must be UTF-8, and is not at byte {position}")) from None
    text = "".join(parts)
    if name == "schema":
        hash(text)  # programs are looked for by it; the text remembers it
    return text
