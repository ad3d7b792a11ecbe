"""Errors of the gateway, and the HTTP answer for every error.

GatewayError
├── RequestInvalid          the body or the parameters are not as they should be; carries all that is wrong
├── BodyTooLarge            the body of the request is larger than allowed
├── BodyTimedOut            the body of the request does not come, or too slowly
├── GatewayOverloaded       the requests that are being read hold all the memory that they may
├── CredentialsMissing      who calls is asked for, and nothing says it
├── SessionForeign          a page from elsewhere wants to sign somebody in or out
└── ContentTypeUnsupported  the body is not sent as JSON

Those of the service are in `flowgram_client.errors`. Every error is answered with `{code, message, errors}`; no other
answer has a `code` that the gateway put there, which is how FlowGram's editor tells the two apart.
"""

import math
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import NamedTuple

import grpc

from flowgram_client import RequestError, Violation


class GatewayError(Exception):
    """Base of the gateway's own errors. The text is for the client."""


class RequestInvalid(GatewayError):
    """The body or the parameters of a request are not as they should be.

    Attributes:
        problems: All of them, each naming its field.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class BodyTooLarge(GatewayError):
    """The body of a request is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body of the request has more than {limit} bytes, the limit max_message_bytes")


class BodyTimedOut(GatewayError):
    """The body of a request does not come, or too slowly."""

    def __init__(self) -> None:
        super().__init__("the body of the request did not come in time")


class GatewayOverloaded(GatewayError):
    """The requests that are being read hold all the memory that they may."""

    def __init__(self) -> None:
        super().__init__("too many large requests at once: try again")


class ContentTypeUnsupported(GatewayError):
    """The body of a request is not sent as JSON."""

    def __init__(self, given: str) -> None:
        shown = f"not {given}" if given else "and none was given"
        super().__init__(f"the Content-Type of the body must be application/json, {shown}")


class CredentialsMissing(GatewayError):
    """Who calls is asked for, and nothing says it."""

    def __init__(self) -> None:
        super().__init__("nobody is signed in")


class SessionForeign(GatewayError):
    """A page from elsewhere wants to sign somebody in or out."""

    def __init__(self) -> None:
        super().__init__("only a page of this gateway may sign somebody in or out")


class ErrorAnswer(NamedTuple):
    """What a client gets to know of an error.

    Attributes:
        status: The HTTP status.
        code: The reason, for programs to branch on; stable, in UPPER_SNAKE.
        message: What people read.
        errors: All that is wrong, where it is more than the message says.
        retry_after: Whole seconds after which trying again makes sense; None: it does not, or nobody knows.
    """

    status: int
    code: str
    message: str
    errors: tuple[str, ...] = ()
    retry_after: int | None = None


INTERNAL_MESSAGE = "internal error: the gateway's log has more"

_RETRY_AFTER = 1
"""Seconds, where the service names none."""

_OWN: Mapping[type[GatewayError], tuple[HTTPStatus, str]] = {
    RequestInvalid: (HTTPStatus.BAD_REQUEST, "ARGUMENT_INVALID"),
    BodyTooLarge: (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "BODY_TOO_LARGE"),
    BodyTimedOut: (HTTPStatus.REQUEST_TIMEOUT, "BODY_TIMED_OUT"),
    GatewayOverloaded: (HTTPStatus.SERVICE_UNAVAILABLE, "OVERLOADED"),
    CredentialsMissing: (HTTPStatus.UNAUTHORIZED, "CREDENTIALS_MISSING"),
    SessionForeign: (HTTPStatus.FORBIDDEN, "ORIGIN_NOT_ALLOWED"),
    ContentTypeUnsupported: (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "CONTENT_TYPE_UNSUPPORTED"),
}
_BY_REASON: Mapping[str, HTTPStatus] = {
    # The request was fine: it is the answer that cannot be given. (For the other case see `_status_of`.)
    "MESSAGE_TOO_LARGE": HTTPStatus.INTERNAL_SERVER_ERROR,
    "TOO_MANY_TASKS": HTTPStatus.TOO_MANY_REQUESTS,
    "TOO_MANY_WATCHES": HTTPStatus.TOO_MANY_REQUESTS,
    "QUOTA_EXCEEDED": HTTPStatus.TOO_MANY_REQUESTS,
    "MEMORY_LIMIT": HTTPStatus.TOO_MANY_REQUESTS,
    "STORAGE_FULL": HTTPStatus.INSUFFICIENT_STORAGE,
}
_BY_CODE: Mapping[grpc.StatusCode, HTTPStatus] = {
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.OUT_OF_RANGE: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    grpc.StatusCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.CANCELLED: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
    # Without a reason it is gRPC itself that refuses a message for its size.
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}
_ABOUT_REQUESTS = {"ARGUMENT_INVALID", "PAGE_TOKEN_INVALID", "REQUEST_ID_REUSED", "SEQUENCE_OUT_OF_RANGE"}
_NAMES: Mapping[str, str] = {
    "task_id": "taskID",
    "request_id": "requestID",
    "display_name": "displayName",
    "page_size": "pageSize",
    "page_token": "pageToken",
    "next_page_token": "nextPageToken",
    "after_sequence": "after",
}
"""By the service's name of a part of a request, the one that it has here."""
_SERVICE_NAMES = re.compile(rf"\b({'|'.join(_NAMES)})\b")
_TRANSPORT_TEXTS: Mapping[HTTPStatus, str] = {
    HTTPStatus.SERVICE_UNAVAILABLE: "the runtime cannot be reached at the moment",
    HTTPStatus.GATEWAY_TIMEOUT: "the runtime did not answer in time",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the request is larger than the runtime takes",
}
_RETRIABLE = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.INSUFFICIENT_STORAGE,
}


def answer_to(error: GatewayError | RequestError) -> ErrorAnswer:
    """What a client gets to know of an error."""
    if isinstance(error, RequestError):
        return _answer_to_service(error)
    status, code = _OWN[type(error)]
    problems = error.problems if isinstance(error, RequestInvalid) else ()
    retry_after = _RETRY_AFTER if status in _RETRIABLE else None
    return ErrorAnswer(status, code, str(error), tuple(problems), retry_after)


def _answer_to_service(error: RequestError) -> ErrorAnswer:
    status = _status_of(error)
    if error.reason:
        code, message = error.reason, _in_our_words(error.message, error.reason)
    else:  # what the transport says of addresses and sockets is not for clients
        code = error.code.name
        message = _TRANSPORT_TEXTS.get(status, "the runtime gave no proper answer")
    retry_after = None
    if status in _RETRIABLE:
        retry_after = math.ceil(error.retry_after or _RETRY_AFTER)
    return ErrorAnswer(status, code, message, _texts(error.violations, error.reason), retry_after)


def _status_of(error: RequestError) -> HTTPStatus:
    if error.reason == "MESSAGE_TOO_LARGE" and error.metadata.get("message") == "request":
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return _BY_REASON.get(error.reason) or _BY_CODE.get(error.code, HTTPStatus.BAD_GATEWAY)


def _texts(violations: Sequence[Violation], reason: str) -> tuple[str, ...]:
    """Violations as texts: those of a workflow stand for themselves, others need the name of the field."""
    if reason in {"SCHEMA_INVALID", "INPUTS_INVALID"}:
        return tuple(each.description for each in violations)
    return tuple(_in_our_words(f"{each.field} {each.description}".strip(), reason) for each in violations)


def _in_our_words(text: str, reason: str) -> str:
    """What the service says of a request, with the names that its parts have here."""
    if reason not in _ABOUT_REQUESTS:
        return text
    return _SERVICE_NAMES.sub(lambda name: _NAMES[name[0]], text)
