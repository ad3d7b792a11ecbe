"""Formatting for people: times, durations, and text of unknown origin."""

import re
from datetime import UTC, datetime, timedelta

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """The text without what would steer a terminal: a model's answer may hold escape sequences."""
    return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """The text as a single clean line."""
    return " ".join(clean(text).split())


def duration(cost: timedelta | None) -> str:
    """`0 s`, `412 µs`, `3.2 ms`, `1.25 s`, `2 min 5 s`; empty for None."""
    if cost is None:
        return ""
    seconds = cost.total_seconds()
    if seconds == 0:
        return "0 s"
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def moment(time: datetime | None) -> str:
    """`2026-01-02T03:04:05Z`; empty for None."""
    return "" if time is None else time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
