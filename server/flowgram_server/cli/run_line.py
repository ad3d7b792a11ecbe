"""The line of one run of a node, as displays of a task's progress show it."""

from .formatting import duration, line
from .progress import Run
from .styles import dim, in_style_of

_LABEL_WIDTH = 28


def run_line(run: Run) -> str:
    """Status, name with iterations, time, and what came of it, in styles."""
    status = in_style_of(run.status, f"{run.status!s:<10} ")
    cost = duration(run.time_cost) if run.status.terminated else ""
    shown_cost = dim(f"{cost:>9}") if cost else " " * 9
    more = f"  → {line(run.branch)}" if run.branch else ""
    if run.error:
        more = f"  {line(run.error)}"
    return f"{status}{line(run.label):<{_LABEL_WIDTH}} {shown_cost}{more}".rstrip()
