"""The Protocol Buffers wire format, as far as writing events needs it.

Events repeat most of their parts: one step of the core shares one time, a loop runs the same nodes again and again. Put
together from encoded parts, an event costs a fifth of what building and serializing its message does.
"""

import re
from functools import lru_cache
from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

_BITS: Final = 14
SMALL: Final = 1 << _BITS
_LOW: Final = SMALL - 1
SMALL_VARINTS: Final = tuple(
    bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80, number >> 7))
    for number in range(SMALL)
)
"""The integers below `SMALL`, encoded: where that counts, a look at them saves the call of `varint`."""
_CONTINUED: Final = tuple(bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(SMALL))
_MICROSECONDS: Final = 1_000_000
_VARINT, _DELIMITED = 0, 2
_WIRE_TYPES: Final = {
    FieldDescriptor.TYPE_BOOL: _VARINT,
    FieldDescriptor.TYPE_ENUM: _VARINT,
    FieldDescriptor.TYPE_INT32: _VARINT,
    FieldDescriptor.TYPE_INT64: _VARINT,
    FieldDescriptor.TYPE_MESSAGE: _DELIMITED,
    FieldDescriptor.TYPE_STRING: _DELIMITED,
}
_SURROGATES: Final = re.compile(r"[\ud800-\udfff]")


def varint(number: int) -> bytes:
    """An integer from 0 on."""
    if 0 <= number < SMALL:
        return SMALL_VARINTS[number]
    if number < 0:
        raise ValueError(f"{number} is negative")
    encoded = _CONTINUED[number & _LOW]
    number >>= _BITS
    while number >= SMALL:
        encoded += _CONTINUED[number & _LOW]
        number >>= _BITS
    return encoded + SMALL_VARINTS[number]


def tag(message: type[Message], field: str) -> bytes:
    """The tag of a field: its number and how its value is written. Raises `KeyError` where there is no such field."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return varint(descriptor.number << 3 | _WIRE_TYPES[descriptor.type])


def delimited(payload: bytes) -> bytes:
    """A text or message as it stands behind its field's tag."""
    size = len(payload)
    return (SMALL_VARINTS[size] if size < SMALL else varint(size)) + payload


def utf8(text: str) -> bytes:
    """A text as UTF-8. What UTF-8 cannot say, half of a surrogate pair, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text).encode()


_SECONDS: Final = tag(Duration, "seconds")
_NANOS: Final = tag(Duration, "nanos")


def duration(microseconds: int) -> bytes:
    """A `Duration`, delimited."""
    seconds = microseconds // _MICROSECONDS
    remainder = microseconds - seconds * _MICROSECONDS
    encoded = _SECONDS + varint(seconds) if seconds else b""
    return delimited(encoded + _NANOS + varint(remainder * 1000) if remainder else encoded)


@lru_cache(maxsize=1024)
def timestamp(microseconds: int) -> bytes:
    """A `Timestamp`, given in microseconds since the epoch, delimited. It has the form of a `Duration`."""
    return duration(microseconds)


def following_numbers(message: bytes, before: bytes = b"") -> bytes:
    """A message with every field's number one higher, behind other bytes. All are texts or messages with numbers below 15.

    What is large is copied once.
    """
    view = memoryview(message)
    parts: list[bytes | memoryview] = [before]
    position, size = 0, len(message)
    while position < size:
        end = skip_delimited(message, 1, position)
        parts += bytes((message[position] + (1 << 3),)), view[position + 1 : end]
        position = end
    return b"".join(parts)


def skip_delimited(data: bytes, count: int, position: int = 0) -> int:
    """The position behind `count` fields from a position on. All are texts or messages with numbers below 16.

    Raises:
        ValueError: There are fewer.
    """
    size = len(data)
    for _ in range(count):
        position += 1
        length = shift = 0
        while True:
            if position >= size:
                raise ValueError(f"there are fewer than {count} fields")
            byte = data[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        position += length
    if position > size:
        raise ValueError("the last field is cut off")
    return position
