"""Dates as JavaScript's Date reads them."""

import random
from typing import Any

import pytest
from support.node import evaluate, requires_node

from flowgram_core.modeling.dates import time_value
from flowgram_core.modeling.values import UNDEFINED

TABLE = [
    ("1970-01-01T00:00:00Z", 0),
    ("1969-12-31T23:59:59.999Z", -1),
    ("2024-05-06T10:00:00", 1714989600000),
    ("2024-05-06T10:00:00Z", 1714989600000),
    ("2024-05-06T10:00:00.1", 1714989600100),
    ("2024-05-06T10:00:00.123456Z", 1714989600123),
    ("2024-05-06T10:00", 1714989600000),
    ("2024-05-06T10:00:00+02:00", 1714982400000),
    ("2024-05-06T10:00:00-0030", 1714991400000),
    ("2024-05-06 10:00:00", 1714989600000),
    ("2024-05-06", 1714953600000),
    ("2024-05", 1714521600000),
    ("2024", 1704067200000),
    ("2024-02-30", 1709251200000),
    ("2024-05-06T24:00", 1715040000000),
    ("2024-05-06T24:00:00.000Z", 1715040000000),
    ("0000-01-01T00:00:00Z", -62167219200000),
    ("9999-12-31T23:59:59.999Z", 253402300799999),
    ("+275760-09-13T00:00:00Z", 8640000000000000),
    ("-000001-01-01T00:00:00Z", -62198755200000),
    (None, 0),
    (True, 1),
    (False, 0),
    (5, 5),
    (5.9, 5),
    (-5.9, -5),
]
NO_DATES: list[Any] = [
    "",
    "x",
    "2024-05-06T10",
    "2024-05-06T10:00:00.Z",
    "2024-13-01",
    "2024-01-32",
    "2024-05-06T24:01",
    "2024-05-06T10:00:00+25:00",
    "-000000-01-01T00:00:00Z",
    "+275760-09-13T00:00:00.001Z",
    9e15,
    [],
    {},
]


@pytest.mark.parametrize(("value", "expected"), TABLE)
def test_the_instant_of_a_value(value: Any, expected: int) -> None:
    """Milliseconds since the epoch; without an offset in UTC; null is the epoch; days count on beyond their month."""
    assert time_value(value) == expected


@pytest.mark.parametrize("value", [*NO_DATES, float("inf"), float("nan"), UNDEFINED])
def test_what_is_no_date(value: Any) -> None:
    """None stands for NaN."""
    assert time_value(value) is None


@requires_node
def test_instants_are_those_of_javascript() -> None:
    """The tables, and random dates in all forms, give the instants that node gives in UTC."""
    chance = random.Random(1)  # noqa: S311 - not for secrets
    values = [value for value, _ in TABLE] + NO_DATES
    for _ in range(2000):
        date = f"{chance.randint(0, 9999):04}-{chance.randint(1, 12):02}-{chance.randint(1, 31):02}"
        clock = f"{chance.randint(0, 23):02}:{chance.randint(0, 59):02}"
        seconds = chance.choice(
            ["", f":{chance.randint(0, 59):02}", f":{chance.randint(0, 59):02}.{chance.randint(0, 999):03}"]
        )
        offset = chance.choice(
            ["", "Z", f"+{chance.randint(0, 23):02}:30", f"-{chance.randint(0, 23):02}:00"]
        )
        values.append(chance.choice([date, f"{date}T{clock}{seconds}{offset}"]))
    expected = evaluate("(value) => new Date(value).getTime()", values)
    shown = [instant if (instant := time_value(value)) is not None else "NaN" for value in values]
    assert shown == expected
