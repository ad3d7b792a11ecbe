"""The interval after which threads ask for the interpreter."""

import sys
from collections.abc import Iterator

import pytest

from flowgram_server.thread_switching import INTERVAL, short_switch_interval


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_the_interval_is_short_while_the_server_runs() -> None:
    """What the process had before holds again afterwards."""
    before = sys.getswitchinterval()
    with short_switch_interval():
        assert sys.getswitchinterval() == pytest.approx(INTERVAL)
    assert sys.getswitchinterval() == before


def test_a_shorter_interval_stays() -> None:
    """Whoever has set a shorter one has a reason."""
    sys.setswitchinterval(INTERVAL / 2)
    with short_switch_interval():
        assert sys.getswitchinterval() == pytest.approx(INTERVAL / 2)
