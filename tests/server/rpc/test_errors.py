from collections.abc import Iterator

import pytest
from grpc import StatusCode

from flowgram.runtime.v1.error_reason_pb2 import ErrorReason
from flowgram_core.hosting import errors as runtime
from flowgram_core.journal import errors as journal
from flowgram_core.modeling.errors import Problem
from flowgram_server.auth.errors import AuthError
from flowgram_server.rpc.errors import ANSWERS, INTERNAL, ServiceError, answer_to

BASES = {ServiceError, AuthError, runtime.FlowgramError, journal.JournalError}


def subclasses(base: type[Exception]) -> Iterator[type[Exception]]:
    for subclass in base.__subclasses__():
        yield subclass
        yield from subclasses(subclass)


@pytest.mark.parametrize("error_type", sorted({e for base in BASES for e in subclasses(base)}, key=str))
def test_every_error_has_an_answer(error_type: type[Exception]) -> None:
    """No error that the runtime or the service can raise is missing from the table."""
    assert error_type in ANSWERS


def test_reasons_are_those_of_the_contract() -> None:
    """Every reason of the contract is given for something."""
    given = {answer.reason for answer in ANSWERS.values()} | {INTERNAL.reason, "INPUTS_INVALID"}
    assert {f"ERROR_REASON_{reason}" for reason in given} == set(ErrorReason.keys()) - {
        "ERROR_REASON_UNSPECIFIED"
    }


def test_one_reason_has_one_status() -> None:
    """A reason always comes with the same status."""
    statuses: dict[str, set[StatusCode]] = {}
    for answer in ANSWERS.values():
        statuses.setdefault(answer.reason, set()).add(answer.code)
    assert all(len(codes) == 1 for codes in statuses.values())


def test_unknown_errors_are_internal() -> None:
    """What nobody thought of is a defect of the server."""
    assert answer_to(KeyError("x")) is INTERNAL
    assert answer_to(TimeoutError()) is INTERNAL


def test_inputs_have_a_reason_of_their_own() -> None:
    """A schema that is not valid and inputs that are not are distinguished."""
    problems = (Problem("inputs", "missing"),)
    assert answer_to(runtime.InvalidWorkflow(problems)).reason == "SCHEMA_INVALID"
    assert answer_to(runtime.InvalidWorkflow(problems, in_inputs=True)).reason == "INPUTS_INVALID"
