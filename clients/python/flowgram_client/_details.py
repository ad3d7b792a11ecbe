"""The details of a status: what the service puts into google.rpc.Status, as values of this package."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from google.rpc import error_details_pb2, status_pb2


class ErrorInfo(NamedTuple):
    """Why a call was refused, for programs."""

    reason: str
    domain: str
    metadata: Mapping[str, str]


class BadRequest(NamedTuple):
    """What is wrong with a request: fields and descriptions."""

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
    for packed in status_pb2.Status.FromString(status).details:
        match packed.type_url.rpartition("/")[2]:
            case "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(packed.value)
                yield ErrorInfo(info.reason, info.domain, dict(info.metadata))
            case "google.rpc.BadRequest":
                violations = error_details_pb2.BadRequest.FromString(packed.value).field_violations
                yield BadRequest(tuple((each.field, each.description) for each in violations))
            case "google.rpc.RetryInfo":
                delay = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay
                yield RetryInfo(delay.seconds + delay.nanos / 1e9)
