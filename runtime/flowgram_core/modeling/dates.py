"""Dates as JavaScript's `Date` reads them: what FlowGram compares date-times by."""

import re
from datetime import UTC, datetime
from typing import Any, Final

_FORMAT = re.compile(
    r"([0-9]{4}|\+[0-9]{6}|-(?!000000)[0-9]{6})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12][0-9]|3[01]))?)?"
    r"(?:[Tt ](?:([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]+))?)?|24:00(?::00(?:\.0+)?)?)"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):?([0-5][0-9]))?)?"
)
"""The date time string format of ECMA-262, in the parts that people write: the date, the time, the offset."""

_MINUTE: Final = 60_000
_DAY: Final = 24 * 60 * _MINUTE
_LARGEST: Final = 100_000_000 * _DAY
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC).toordinal()
_CYCLE_YEARS: Final = 400
_CYCLE_DAYS: Final = 146_097


def time_value(value: Any) -> int | None:
    """`new Date(value).getTime()`: milliseconds since the epoch, or None where that is NaN.

    A text without an offset is in UTC, where JavaScript takes the local time; days beyond the end of their month count on;
    null is the epoch. Texts that JavaScript reads by guessing (`May 6, 2024`) are no dates here.
    """
    if isinstance(value, str):
        return _parse(value)
    if value is None:
        return 0
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return int(value)
    return None


def _parse(text: str) -> int | None:
    match = _FORMAT.fullmatch(text)
    if match is None:
        return None
    year, month, day, hours, minutes, seconds, fraction, sign, *offset = match.groups()
    # datetime knows the years 1 to 9999; the calendar repeats after 400 years.
    cycles = int(year) // _CYCLE_YEARS - 1
    days = datetime(int(year) - cycles * _CYCLE_YEARS, int(month or 1), 1, tzinfo=UTC).toordinal() - _EPOCH
    days += cycles * _CYCLE_DAYS + int(day or 1) - 1
    if hours is None:
        clock = _DAY if ":" in text else 0
    else:
        second = (int(hours) * 60 + int(minutes)) * 60 + int(seconds or 0)
        clock = second * 1000 + int(f"{fraction or ''}000"[:3])
    time = days * _DAY + clock
    if sign is not None:
        distance = (int(offset[0]) * 60 + int(offset[1])) * _MINUTE
        time += distance if sign == "-" else -distance
    return time if abs(time) <= _LARGEST else None
