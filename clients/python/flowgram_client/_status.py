"""Translation of failed calls into exceptions.

The service puts google.rpc.ErrorInfo, BadRequest and RetryInfo into the details of every status that it sends; a
failure without them was made by the transport.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from . import errors
from ._details import BadRequest, Detail, ErrorInfo, RetryInfo, details

DOMAIN = "flowgram.runtime"
_DETAILS_KEY = "grpc-status-details-bin"

_BY_REASON: dict[str, type[errors.RequestError]] = {
    "SCHEMA_INVALID": errors.InvalidWorkflowError,
    "INPUTS_INVALID": errors.InvalidWorkflowError,
}
_BY_CODE: dict[grpc.StatusCode, type[errors.RequestError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: errors.TaskNotFoundError,
    grpc.StatusCode.UNAUTHENTICATED: errors.UnauthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.ALREADY_EXISTS: errors.AlreadyExistsError,
    grpc.StatusCode.OUT_OF_RANGE: errors.SequenceOutOfRangeError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ResourceExhaustedError,
    grpc.StatusCode.UNAVAILABLE: errors.UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceededError,
    grpc.StatusCode.CANCELLED: errors.CallCanceledError,
}

_CUT_OFF = "CANCELLED"
"""What gRPC says of a call that the other side reset; its words for what this side cancels are longer."""


def error_from_rpc(error: grpc.RpcError) -> errors.RequestError:
    """The exception for a call that ended with a status other than OK."""
    trailing: Any = getattr(error, "trailing_metadata", tuple)()
    code, message = error.code(), error.details() or ""
    if code is grpc.StatusCode.CANCELLED and message == _CUT_OFF:
        # It was not cancelled here: a stream ends like this when its server stops, or a proxy resets it.
        return errors.UnavailableError("the call was cut off", code)
    return error_from_status(code, message, trailing or ())


def error_from_status(
    code: grpc.StatusCode, message: str, trailing_metadata: Iterable[tuple[str, str | bytes]] = ()
) -> errors.RequestError:
    """The exception for a status; trailing metadata that cannot be read counts as none."""
    reason = ""
    metadata: dict[str, str] = {}
    violations: list[errors.Violation] = []
    retry_after: float | None = None
    for detail in _details(trailing_metadata):
        match detail:
            case ErrorInfo():
                if detail.domain == DOMAIN:
                    reason, metadata = detail.reason, dict(detail.metadata)
            case BadRequest():
                violations += [errors.Violation(*violation) for violation in detail.violations]
            case RetryInfo():
                retry_after = detail.retry_delay
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, errors.ServerError)
    return kind(message, code, reason, metadata, violations, retry_after)


def error_from_details(status: status_pb2.Status) -> errors.RequestError:
    """The exception for a status that came within a message."""
    code = next((each for each in grpc.StatusCode if each.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    return error_from_status(code, status.message, ((_DETAILS_KEY, status.SerializeToString()),))


def silent(seconds: float | None) -> errors.UnavailableError:
    """The exception for a stream on which nothing came for so long."""
    text = f"the server has been silent for {seconds:g} seconds" if seconds else "the server is silent"
    return errors.UnavailableError(text, grpc.StatusCode.UNAVAILABLE)


def client_closed() -> errors.CallCanceledError:
    """The exception for a call whose client was closed."""
    return errors.CallCanceledError("the client was closed", grpc.StatusCode.CANCELLED)


def _details(trailing_metadata: Iterable[tuple[str, str | bytes]]) -> Iterator[Detail]:
    """The details of a status that are known here."""
    for key, value in trailing_metadata:
        if key != _DETAILS_KEY or not isinstance(value, bytes):
            continue
        try:
            yield from details(value)
        except DecodeError:  # made by a proxy, say: the code and the message still hold
            continue
