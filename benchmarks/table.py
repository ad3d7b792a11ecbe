"""The table that is printed: what was measured, against what, the ratio, and what it should be at least or at most."""

from collections.abc import Iterable
from dataclasses import dataclass


class MeasurementUnavailable(Exception):
    """Something that a benchmark needs is not installed here; the text says what."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison.

    Attributes:
        name: What was measured.
        this: Its value, with the unit.
        other: What it is compared with, with the unit.
        ratio: The measure that counts.
        goal: What it should be.
        met: Whether it is.
    """

    name: str
    this: str
    other: str
    ratio: float
    goal: str
    met: bool


def at_least(name: str, this: str, other: str, ratio: float, goal: float) -> Row:
    """A comparison whose ratio should be large."""
    return Row(name, this, other, ratio, f">= {goal:g}", ratio >= goal)


def at_most(name: str, this: str, other: str, ratio: float, goal: float) -> Row:
    """A comparison whose ratio should be small."""
    return Row(name, this, other, ratio, f"<= {goal:g}", ratio <= goal)


def informative(name: str, this: str, other: str, ratio: float) -> Row:
    """A comparison without a goal."""
    return Row(name, this, other, ratio, "", met=True)


def render(title: str, rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        f"### {title}",
        "",
        "| what | this | compared with | ratio | goal | |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.name} | {row.this} | {row.other} | {row.ratio:.2f} | {row.goal} | {_verdict(row)} |"
        for row in rows
    ]
    return "\n".join([*lines, ""])


def _verdict(row: Row) -> str:
    if not row.goal:
        return ""
    return "ok" if row.met else "MISSED"
