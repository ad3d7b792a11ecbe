"""The details of a status: google.rpc.Status and what the service puts into it, decoded without a package for them.

The messages are described here, with the field numbers of google/rpc/status.proto and error_details.proto, in a pool of
their own: the default pool would refuse them where googleapis-common-protos is installed and has its own.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "flowgram_client.details"
_Field = descriptor_pb2.FieldDescriptorProto


class ErrorInfo(NamedTuple):
    """Why a call was refused, for programs."""

    reason: str
    domain: str
    metadata: Mapping[str, str]


class BadRequest(NamedTuple):
    """What is wrong with a request: places and descriptions."""

    violations: tuple[tuple[str, str], ...]


class RetryInfo(NamedTuple):
    """Seconds after which another attempt makes sense."""

    retry_delay: float


Detail = ErrorInfo | BadRequest | RetryInfo


def details(status: bytes) -> Iterator[Detail]:
    """The details of a serialized google.rpc.Status that are known here.

    Raises:
        DecodeError: it is no such status, or a detail is not what it says it is.
    """
    for packed in _decode("Status", status).details:
        match packed.type_url.rpartition("/")[2]:
            case "google.rpc.ErrorInfo":
                info = _decode("ErrorInfo", packed.value)
                yield ErrorInfo(info.reason, info.domain, dict(info.metadata))
            case "google.rpc.BadRequest":
                violations = _decode("BadRequest", packed.value).field_violations
                yield BadRequest(tuple((each.field, each.description) for each in violations))
            case "google.rpc.RetryInfo":
                delay = _decode("RetryInfo", packed.value).retry_delay
                yield RetryInfo(delay.seconds + delay.nanos / 1e9)


def _decode(name: str, data: bytes) -> Any:
    return _CLASSES[name].FromString(data)


def _messages() -> descriptor_pb2.FileDescriptorProto:
    """The messages, as a .proto file would describe them."""
    file = descriptor_pb2.FileDescriptorProto(
        name="flowgram_client/details.proto", package=_PACKAGE, syntax="proto3"
    )

    def add(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: Any) -> None:
        """A field; of a message's name, a message. `*` before it: repeated."""
        field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
        if isinstance(kind, str):
            field.type = _Field.TYPE_MESSAGE
            field.type_name = f".{_PACKAGE}.{kind.removeprefix('*')}"
            if kind.startswith("*"):
                field.label = _Field.LABEL_REPEATED
        else:
            field.type = kind

    text, data = _Field.TYPE_STRING, _Field.TYPE_BYTES
    for name, fields in {
        "Any": (("type_url", 1, text), ("value", 2, data)),
        "Duration": (("seconds", 1, _Field.TYPE_INT64), ("nanos", 2, _Field.TYPE_INT32)),
        "Violation": (("field", 1, text), ("description", 2, text)),
        "Status": (("details", 3, "*Any"),),
        "ErrorInfo": (("reason", 1, text), ("domain", 2, text), ("metadata", 3, "*ErrorInfo.MetadataEntry")),
        "BadRequest": (("field_violations", 1, "*Violation"),),
        "RetryInfo": (("retry_delay", 1, "Duration"),),
    }.items():
        message = file.message_type.add(name=name)
        for field in fields:
            add(message, *field)
        if name == "ErrorInfo":
            entry = message.nested_type.add(name="MetadataEntry")
            entry.options.map_entry = True
            add(entry, "key", 1, text)
            add(entry, "value", 2, text)
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.AddSerializedFile(_messages().SerializeToString())
_CLASSES = {
    name: message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
    for name in ("Status", "ErrorInfo", "BadRequest", "RetryInfo")
}
