"""What holds for all tests."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

# Machines are slow at times, and no test is about that.
settings.register_profile("flowgram", deadline=None)
settings.load_profile("flowgram")

# Many servers run side by side, and one of them would get the default address. Tests of metrics name their own.
os.environ.setdefault("FLOWGRAM_METRICS_LISTEN", "")

# In the background, or under nohup, a shell may have SIGINT ignored, and with it in all processes that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the files that take longest, as their time limits tell: with several workers none is left to run alone at the end.

    A stable order of whole files, as xdist's `--dist=loadfile` hands them out with `--no-loadscope-reorder`.
    """
    longest: dict[Path, float] = {}
    for item in items:
        limit = max((mark.args[0] for mark in item.iter_markers("timeout") if mark.args), default=0.0)
        longest[item.path] = max(limit, longest.get(item.path, 0.0))
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(autouse=True)
def _own_logs() -> Iterator[None]:
    """A command that a test runs in this process sets logging up for all of it, with streams that end with the test."""
    root = logging.getLogger()
    before = root.level, [*root.handlers]
    yield
    if structlog.is_configured():
        structlog.reset_defaults()
        level, handlers = before
        root.setLevel(level)
        for handler in {*root.handlers}.difference(handlers):
            root.removeHandler(handler)
