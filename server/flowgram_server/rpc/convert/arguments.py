"""Checks of single request fields. Each gives the field's value in the runtime's terms.

What is wrong with a field is added to the violations of its request, and a placeholder is returned that must not be used: when
all fields were looked at, `accept` refuses a request that has violations. Nothing has happened then.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration

from flowgram.runtime.v1.runtime_service_pb2 import View
from flowgram_core.modeling.status import Status
from flowgram_server.rpc.errors import ArgumentInvalid, Violation

MAX_TASK_ID = 256
MAX_REQUEST_ID = 256
MAX_REASON = 4096
MAX_DISPLAY_NAME = 256
MAX_LABELS = 64
MAX_LABEL_KEY = 128
MAX_LABEL_VALUE = 512
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100
MAX_VIOLATIONS = 100
"""So many violations of one request are looked for; a list may have one at every element."""

Violations: TypeAlias = list[Violation]

_MAX_DURATION_SECONDS = 315_576_000_000
_NANOS = 1_000_000_000


def accept(violations: Violations) -> None:
    """Raises `ArgumentInvalid` with all violations, if there are any."""
    if violations:
        raise ArgumentInvalid(*violations)


def required(violations: Violations, field: str, text: str) -> str:
    """A text that must be there."""
    if not text:
        violations.append(Violation(field, "is required"))
    return text


def short(violations: Violations, field: str, text: str, limit: int) -> str:
    """A text of at most so many characters."""
    if len(text) > limit:
        violations.append(Violation(field, f"must have at most {limit} characters, not {len(text)}"))
    return text


def display_name(violations: Violations, field: str, text: str) -> str:
    """A name for people, or none."""
    if "\0" in short(violations, field, text, MAX_DISPLAY_NAME):
        violations.append(Violation(field, "must be without NUL"))
    return text


def task_id(violations: Violations, field: str, text: str) -> str:
    """The id of a task, whether there is one or not."""
    return short(violations, field, required(violations, field, text), MAX_TASK_ID)


def microseconds(violations: Violations, field: str, duration: Duration) -> int:
    """A duration of at least one microsecond."""
    seconds, nanos = duration.seconds, duration.nanos
    if abs(seconds) > _MAX_DURATION_SECONDS or abs(nanos) >= _NANOS or seconds * nanos < 0:
        violations.append(Violation(field, f"is not a valid duration: {seconds} s and {nanos} ns"))
        return 0
    total = seconds * 1_000_000 + nanos // 1000
    if total <= 0:
        violations.append(
            Violation(field, f"must be at least one microsecond, not {seconds} s and {nanos} ns")
        )
    return total


def sequence(violations: Violations, field: str, number: int) -> int:
    """The position in a log."""
    if number < 0:
        violations.append(Violation(field, f"must be 0 or the sequence of an event, not {number}"))
    return number


def page_size(violations: Violations, field: str, size: int) -> int:
    """How many there may be on a page."""
    if not 0 <= size <= MAX_PAGE_SIZE:
        violations.append(Violation(field, f"must be between 0 and {MAX_PAGE_SIZE}, not {size}"))
    return size or DEFAULT_PAGE_SIZE


def is_basic(violations: Violations, field: str, view: int) -> bool:
    """Whether the BASIC view is asked for; unset means FULL."""
    if view not in (View.VIEW_UNSPECIFIED, View.VIEW_BASIC, View.VIEW_FULL):
        violations.append(Violation(field, f"must be VIEW_BASIC or VIEW_FULL, not {view}"))
    return view == View.VIEW_BASIC


def statuses(violations: Violations, field: str, numbers: Iterable[int]) -> frozenset[Status]:
    """Statuses to look for."""
    found = set()
    for index, number in enumerate(numbers):
        try:
            found.add(Status(number))
        except ValueError:
            names = ", ".join(f"STATUS_{known.name}" for known in Status)
            violations.append(Violation(f"{field}[{index}]", f"must be one of {names}, not {number}"))
            if len(violations) >= MAX_VIOLATIONS:
                break
    return frozenset(found)


def labels(violations: Violations, field: str, given: Mapping[str, str]) -> dict[str, str]:
    """Labels of a task."""
    if not given:
        return {}
    if len(given) > MAX_LABELS:
        violations.append(Violation(field, f"must be at most {MAX_LABELS} labels, not {len(given)}"))
        return {}
    for key, value in given.items():
        if not 0 < len(key) <= MAX_LABEL_KEY:
            text = f"must have keys of 1 to {MAX_LABEL_KEY} characters, not {len(key)}"
            violations.append(Violation(field, text))
        if "\0" in key:  # at which SQLite ends a text that it takes out of JSON
            violations.append(Violation(field, "must have keys without NUL"))
        if "\0" in short(violations, f"{field}[{key!r}]", value, MAX_LABEL_VALUE):
            violations.append(Violation(f"{field}[{key!r}]", "must be without NUL"))
    return dict(given)
