import pytest
from google.protobuf.duration_pb2 import Duration

from flowgram.runtime.v1.report_pb2 import Message
from flowgram.runtime.v1.report_pb2 import Status as WireStatus
from flowgram.runtime.v1.runtime_service_pb2 import View
from flowgram_core.engine.events import MessageType
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.convert import arguments
from flowgram_server.rpc.errors import ArgumentInvalid


def only(violations: arguments.Violations) -> tuple[str, str]:
    (violation,) = violations
    return violation


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (Duration(seconds=1), 1_000_000),
        (Duration(nanos=1000), 1),
        (Duration(seconds=2, nanos=500_000_999), 2_500_000),
        (Duration(seconds=315_576_000_000), 315_576_000_000_000_000),
    ],
)
def test_durations_are_microseconds(duration: Duration, expected: int) -> None:
    """A duration is given in whole microseconds."""
    assert arguments.microseconds([], "timeout", duration) == expected


@pytest.mark.parametrize(
    "duration",
    [
        Duration(),
        Duration(nanos=999),
        Duration(seconds=-1),
        Duration(nanos=-1),
        Duration(seconds=1, nanos=-1),
        Duration(seconds=-1, nanos=1),
        Duration(seconds=315_576_000_001),
        Duration(seconds=-(2**63)),
        Duration(seconds=2**63 - 1, nanos=999_999_999),
        Duration(seconds=1, nanos=1_000_000_000),
        Duration(nanos=-(2**31)),
    ],
)
def test_impossible_durations_are_refused(duration: Duration) -> None:
    """Zero, negative, overflowing and malformed durations are errors that name the field."""
    violations: arguments.Violations = []
    arguments.microseconds(violations, "timeout", duration)
    assert only(violations)[0] == "timeout"


def test_missing_texts_are_refused() -> None:
    """A required text that is empty is an error that names the field."""
    assert arguments.required([], "task_id", "t") == "t"
    violations: arguments.Violations = []
    arguments.required(violations, "task_id", "")
    assert only(violations) == ("task_id", "is required")


def test_long_texts_are_refused() -> None:
    """A text beyond its limit is an error that says both lengths."""
    assert arguments.short([], "reason", "abc", 3) == "abc"
    violations: arguments.Violations = []
    arguments.short(violations, "reason", "abcd", 3)
    assert only(violations) == ("reason", "must have at most 3 characters, not 4")


def test_sequences_begin_at_zero() -> None:
    """A negative position is an error; any other is looked at by the task."""
    assert arguments.sequence([], "after_sequence", 2**62) == 2**62
    violations: arguments.Violations = []
    arguments.sequence(violations, "after_sequence", -1)
    assert only(violations) == ("after_sequence", "must be 0 or the sequence of an event, not -1")


@pytest.mark.parametrize(("given", "expected"), [(0, 100), (1, 1), (1000, 1000)])
def test_page_sizes(given: int, expected: int) -> None:
    """A page has what was asked for, or 100."""
    assert arguments.page_size([], "page_size", given) == expected


@pytest.mark.parametrize("given", [-1, 1001, -(2**31)])
def test_impossible_page_sizes_are_refused(given: int) -> None:
    """A page size out of its range is an error that says the range."""
    violations: arguments.Violations = []
    arguments.page_size(violations, "page_size", given)
    assert only(violations) == ("page_size", f"must be between 0 and 1000, not {given}")


def test_views() -> None:
    """Unset means FULL; a number that is no view is an error, and not taken for one."""
    assert not arguments.is_basic([], "view", View.VIEW_UNSPECIFIED)
    assert not arguments.is_basic([], "view", View.VIEW_FULL)
    assert arguments.is_basic([], "view", View.VIEW_BASIC)
    violations: arguments.Violations = []
    arguments.is_basic(violations, "view", 99)
    assert only(violations) == ("view", "must be VIEW_BASIC or VIEW_FULL, not 99")


@pytest.mark.parametrize("number", [0, 6, -1])
def test_unknown_statuses_are_refused(number: int) -> None:
    """A number that is no status is an error that lists the statuses."""
    violations: arguments.Violations = []
    assert arguments.statuses(violations, "statuses", [3, number]) == {Status.SUCCEEDED}
    field, description = only(violations)
    assert field == "statuses[1]"
    assert "STATUS_PENDING" in description
    assert "STATUS_CANCELED" in description


def test_of_very_many_statuses_some_are_looked_at() -> None:
    """A list that is wrong at every element makes no list of violations as long."""
    violations: arguments.Violations = []
    arguments.statuses(violations, "statuses", [0] * 10_000)
    assert len(violations) == arguments.MAX_VIOLATIONS


def test_a_request_is_refused_with_all_violations() -> None:
    """And accepted without."""
    violations: arguments.Violations = []
    arguments.accept(violations)
    arguments.required(violations, "schema", "")
    arguments.short(violations, "reason", "abcd", 3)
    with pytest.raises(ArgumentInvalid) as error:
        arguments.accept(violations)
    assert [field for field, _ in error.value.violations] == ["schema", "reason"]


def test_enums_have_the_numbers_of_the_contract() -> None:
    """The runtime's statuses and message types are the contract's, name by name."""
    statuses = {f"STATUS_{status.name}": status.value for status in Status}
    types = {f"TYPE_{kind.name}": kind.value for kind in MessageType}
    assert {"STATUS_UNSPECIFIED": 0, **statuses} == dict(WireStatus.items())
    assert {"TYPE_UNSPECIFIED": 0, **types} == dict(Message.Type.items())


@pytest.mark.parametrize(
    "labels",
    [
        {str(number): "" for number in range(65)},
        {"": "x"},
        {"k" * 129: "x"},
        {"k": "v" * 513},
        {"k\0": "v"},
        {"k": "\0"},
    ],
)
def test_labels_have_limits(labels: dict[str, str]) -> None:
    """Too many labels, and keys and values of the wrong length or with NUL, are errors."""
    violations: arguments.Violations = []
    arguments.labels(violations, "labels", labels)
    assert only(violations)[0].startswith("labels")


def test_labels_within_limits() -> None:
    """Labels up to the limits are taken as they are."""
    labels = {f"{number:0128}": "v" * 512 for number in range(64)}
    assert arguments.labels([], "labels", labels) == labels
