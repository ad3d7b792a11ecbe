"""Diagnosis of requests that cannot be decoded: which of their fields are malformed, and where."""

from collections.abc import Iterator
from itertools import islice
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from flowgram_server.rpc.convert.arguments import MAX_VIOLATIONS
from flowgram_server.rpc.errors import Violation


def malformed_fields(request_type: type[Message], data: bytes) -> list[Violation]:
    """What is wrong with a request that cannot be decoded: the fields that are malformed, or else all of it."""
    name = request_type.DESCRIPTOR.full_name
    try:
        violations = list(
            islice(_violations(cast("Descriptor", request_type.DESCRIPTOR), data), MAX_VIOLATIONS)
        )
    except DecodeError:
        return [Violation("", f"the request is not a {name}")]
    return violations or [Violation("", f"the request is not a {name}: is every text in it UTF-8?")]


def _violations(message_type: Descriptor, data: bytes) -> Iterator[Violation]:
    """The malformed texts and messages in the bytes of a message. Raises `DecodeError`."""
    fields = UnknownFieldSet(Empty.FromString(data))
    known = message_type.fields_by_number
    for field in (fields[index] for index in range(len(fields))):
        declared = known.get(field.field_number)
        if declared is None or not isinstance(field.data, bytes):
            continue
        if declared.type == FieldDescriptor.TYPE_STRING:
            position = invalid_position(field.data)
            if position is not None:
                yield Violation(declared.name, f"must be UTF-8, and is not at byte {position}")
        elif declared.message_type is not None:
            yield from _violations_within(declared.name, declared.message_type, field.data)


def _violations_within(name: str, message_type: Descriptor, data: bytes) -> Iterator[Violation]:
    """The same of a field that is a message, or of an entry of a map; all have the name of the field."""
    try:
        for violation in _violations(message_type, data):
            yield Violation(name, f"{violation.field}: {violation.description}")
    except DecodeError:
        yield Violation(name, f"is not a {message_type.full_name}")


def invalid_position(data: bytes) -> int | None:
    """Where a text stops being UTF-8; None if it is."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None
