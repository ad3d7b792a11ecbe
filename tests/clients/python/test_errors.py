import copy
import pickle

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from support.scripted_server import Refusal

import flowgram_client
from flowgram_client import _status, errors
from flowgram_client._details import ErrorInfo, details

Code = grpc.StatusCode


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (Code.INVALID_ARGUMENT, "SCHEMA_INVALID", errors.InvalidWorkflowError),
        (Code.INVALID_ARGUMENT, "INPUTS_INVALID", errors.InvalidWorkflowError),
        (Code.INVALID_ARGUMENT, "ARGUMENT_INVALID", errors.InvalidArgumentError),
        (Code.INVALID_ARGUMENT, "A_REASON_OF_TOMORROW", errors.InvalidArgumentError),
        (Code.NOT_FOUND, "TASK_NOT_FOUND", errors.TaskNotFoundError),
        (Code.ALREADY_EXISTS, "REQUEST_ID_REUSED", errors.AlreadyExistsError),
        (Code.OUT_OF_RANGE, "SEQUENCE_OUT_OF_RANGE", errors.SequenceOutOfRangeError),
        (Code.RESOURCE_EXHAUSTED, "TOO_MANY_TASKS", errors.ResourceExhaustedError),
        (Code.UNAVAILABLE, "SHUTTING_DOWN", errors.UnavailableError),
        (Code.UNAVAILABLE, "", errors.UnavailableError),
        (Code.DEADLINE_EXCEEDED, "", errors.DeadlineExceededError),
        (Code.CANCELLED, "", errors.CallCanceledError),
        (Code.INTERNAL, "INTERNAL", errors.ServerError),
        (Code.UNIMPLEMENTED, "", errors.ServerError),
        (Code.UNAUTHENTICATED, "", errors.UnauthenticatedError),
        (Code.PERMISSION_DENIED, "PERMISSION_DENIED", errors.PermissionDeniedError),
    ],
)
def test_each_status_is_an_exception_of_its_own(code: Code, reason: str, kind: type[Exception]) -> None:
    """The reason decides, and where it is unknown or missing, the status code."""
    error = _status.error_from_status(code, "text", Refusal(code, reason=reason).trailing())
    assert type(error) is kind
    assert (error.code, error.reason, error.message) == (code, reason, "text")


def test_details_are_read() -> None:
    """Problems, particulars and the advice to wait come with the exception, and the text lists the problems."""
    sent = Refusal(
        Code.INVALID_ARGUMENT,
        reason="SCHEMA_INVALID",
        problems=[("schema.nodes[0]", "no id"), ("", "no end")],
        retry_after=1.5,
        metadata={"k": "v"},
    )
    error = _status.error_from_status(sent.code, "not valid", sent.trailing())
    assert error.violations == (errors.Violation("schema.nodes[0]", "no id"), errors.Violation("", "no end"))
    assert error.retry_after == 1.5
    assert error.metadata == {"k": "v"}
    assert str(error) == "the workflow is not valid\n  schema.nodes[0]: no id\n  no end"


def test_unknown_and_broken_details() -> None:
    """Details of other kinds are left out; one that is not what it says ends the reading."""
    status = status_pb2.Status()
    for detail in (error_details_pb2.DebugInfo(detail="x"), error_details_pb2.ErrorInfo(reason="A")):
        status.details.add().Pack(detail)
    assert list(details(status.SerializeToString())) == [ErrorInfo("A", "", {})]
    status.details.add(type_url="x/google.rpc.RetryInfo", value=b"\xff")
    with pytest.raises(DecodeError):
        list(details(status.SerializeToString()))


def test_a_foreign_domain_gives_no_reason() -> None:
    """Details of another service (a proxy's, say) are not taken for this one's."""
    trailing = Refusal(Code.NOT_FOUND, reason="SCHEMA_INVALID").trailing()
    foreign = [(key, value.replace(b"flowgram.runtime", b"somebody.else000")) for key, value in trailing]
    error = _status.error_from_status(Code.NOT_FOUND, "", foreign)
    assert type(error) is errors.TaskNotFoundError
    assert error.reason == ""
    assert str(error) == "not found"


def test_garbage_in_the_details_is_ignored() -> None:
    """Details that cannot be read leave the code and the message."""
    error = _status.error_from_status(Code.NOT_FOUND, "text", [("grpc-status-details-bin", b"\xff\xff")])
    assert type(error) is errors.TaskNotFoundError
    assert str(error) == "text"


def test_errors_survive_copies_and_pickles() -> None:
    """An error that crosses a process boundary keeps what it knows."""
    sent = Refusal(Code.INVALID_ARGUMENT, reason="SCHEMA_INVALID", problems=[("a", "b")])
    error = _status.error_from_status(sent.code, "text", sent.trailing())
    failed = errors.TaskFailedError("text", "t1")
    for clone in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301 - our own bytes
        assert type(clone) is errors.InvalidWorkflowError
        assert (str(clone), clone.violations, clone.reason) == (str(error), error.violations, error.reason)
    assert pickle.loads(pickle.dumps(failed)).task_id == "t1"  # noqa: S301 - our own bytes


def test_every_error_is_public_and_in_the_tree() -> None:
    """Each exception of the package has the one base, is exported, and stands in the drawing."""
    public = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]
    for each in public:
        assert issubclass(each, flowgram_client.FlowgramError)
        assert getattr(flowgram_client, each.__name__) is each
        assert each.__name__ in (errors.__doc__ or "")


class CutOff(grpc.RpcError):
    """How gRPC tells that the other side reset a call."""

    def code(self) -> grpc.StatusCode:
        return Code.CANCELLED

    def details(self) -> str:
        return "CANCELLED"


def test_a_call_that_the_other_side_cuts_off_can_be_tried_again() -> None:
    """A stream that the server resets as it stops is no cancellation of ours: the server is unavailable."""
    assert type(_status.error_from_rpc(CutOff())) is errors.UnavailableError


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("TaskFailed", errors.TaskFailedError),
        ("InvalidWorkflow", errors.InvalidWorkflowError),
        ("Unavailable", errors.UnavailableError),
        ("Problem", errors.Violation),
    ],
)
def test_old_names_still_work(old: str, new: type) -> None:
    """The names of the release before are the same classes, and warn."""
    with pytest.warns(DeprecationWarning, match=new.__name__):
        assert getattr(flowgram_client, old) is new
    with pytest.warns(DeprecationWarning, match=new.__name__):
        assert getattr(errors, old) is new
    with pytest.raises(AttributeError):
        _ = flowgram_client.NoSuchName


def test_exceptions_end_in_error() -> None:
    """Every exception of the package is named as Python's own are."""
    named = [getattr(flowgram_client, name) for name in flowgram_client.__all__]
    found = [each for each in named if isinstance(each, type) and issubclass(each, BaseException)]
    assert len(found) > 10
    assert [each.__name__ for each in found if not each.__name__.endswith("Error")] == []
