import pytest
from google.protobuf.duration_pb2 import Duration

from flowgram.runtime.v1.report_pb2 import Message
from flowgram.runtime.v1.report_pb2 import Status as WireStatus
from flowgram.runtime.v1.runtime_service_pb2 import View
from flowgram_runtime.engine.events import MessageType
from flowgram_runtime.engine.status import Status
from flowgram_server.convert import arguments
from flowgram_server.errors import ArgumentInvalid


def refused(error: pytest.ExceptionInfo[ArgumentInvalid]) -> tuple[str, str]:
    (violation,) = error.value.violations
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
    assert arguments.microseconds("timeout", duration) == expected


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
    with pytest.raises(ArgumentInvalid) as error:
        arguments.microseconds("timeout", duration)
    assert refused(error)[0] == "timeout"


def test_missing_texts_are_refused() -> None:
    """A required text that is empty is an error that names the field."""
    assert arguments.required("task_id", "t") == "t"
    with pytest.raises(ArgumentInvalid) as error:
        arguments.required("task_id", "")
    assert refused(error) == ("task_id", "is required")


def test_long_texts_are_refused() -> None:
    """A text beyond its limit is an error that says both lengths."""
    assert arguments.short("reason", "abc", 3) == "abc"
    with pytest.raises(ArgumentInvalid, match="at most 3 characters, not 4"):
        arguments.short("reason", "abcd", 3)


def test_sequences_begin_at_zero() -> None:
    """A negative position is an error; any other is looked at by the task."""
    assert arguments.sequence("after_sequence", 2**62) == 2**62
    with pytest.raises(ArgumentInvalid, match="not -1"):
        arguments.sequence("after_sequence", -1)


@pytest.mark.parametrize(("given", "expected"), [(0, 100), (1, 1), (1000, 1000)])
def test_page_sizes(given: int, expected: int) -> None:
    """A page has what was asked for, or 100."""
    assert arguments.page_size("page_size", given) == expected


@pytest.mark.parametrize("given", [-1, 1001, -(2**31)])
def test_impossible_page_sizes_are_refused(given: int) -> None:
    """A page size out of its range is an error that says the range."""
    with pytest.raises(ArgumentInvalid, match=f"between 0 and 1000, not {given}"):
        arguments.page_size("page_size", given)


def test_views() -> None:
    """Unset means FULL; a number that is no view is an error, and not taken for one."""
    assert not arguments.is_basic("view", View.VIEW_UNSPECIFIED)
    assert not arguments.is_basic("view", View.VIEW_FULL)
    assert arguments.is_basic("view", View.VIEW_BASIC)
    with pytest.raises(ArgumentInvalid, match="not 99"):
        arguments.is_basic("view", 99)


@pytest.mark.parametrize("number", [0, 6, -1])
def test_unknown_statuses_are_refused(number: int) -> None:
    """A number that is no status is an error that lists the statuses."""
    with pytest.raises(ArgumentInvalid, match=r"STATUS_PENDING, .*STATUS_CANCELED"):
        arguments.status("statuses[0]", number)


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
    ],
)
def test_labels_have_limits(labels: dict[str, str]) -> None:
    """Too many labels, and keys and values of the wrong length, are errors."""
    with pytest.raises(ArgumentInvalid) as error:
        arguments.labels("labels", labels)
    assert refused(error)[0].startswith("labels")


def test_labels_within_limits() -> None:
    """Labels up to the limits are taken as they are."""
    labels = {f"{number:0128}": "v" * 512 for number in range(64)}
    assert arguments.labels("labels", labels) == labels
