"""Hand-over of the interpreter lock: the loop waits briefly for threads that make no progress, and for no others."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from flowgram_core.concurrency.gil_handoff import GILHandoff


class FakeLoop(asyncio.AbstractEventLoop):
    """Keeps what is to be called later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], object]] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any, **kwargs: Any) -> Any:
        self.later.append(callback)
        return object()

    def tick(self) -> None:
        """Makes the one call that is due."""
        (callback,) = self.later
        self.later.clear()
        callback()


class FakeProgress:
    """An event that waits in no time, and counts the waits that a real one would have waited out."""

    def __init__(self) -> None:
        self.waited = 0
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float) -> bool:
        assert 0 < timeout <= 0.001
        self.waited += not self._is_set
        return self._is_set


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


@pytest.fixture
def progress() -> FakeProgress:
    return FakeProgress()


def test_the_loop_checks_while_work_is_outstanding(loop: FakeLoop, progress: FakeProgress) -> None:
    """One check at a time is planned, from the first piece of work to the first check that finds none."""
    handoff = GILHandoff(loop, progress)
    assert loop.later == []
    handoff.submitted()
    handoff.submitted()
    assert len(loop.later) == 1
    loop.tick()
    assert len(loop.later) == 1
    handoff.completed(2)
    loop.tick()
    assert loop.later == []
    handoff.submitted()
    assert len(loop.later) == 1


def test_the_loop_waits_for_threads_without_progress(loop: FakeLoop, progress: FakeProgress) -> None:
    """Each check that finds work outstanding and no progress since the last one waits, once and briefly."""
    handoff = GILHandoff(loop, progress)
    handoff.submitted()
    loop.tick()
    assert progress.waited == 1
    loop.tick()
    assert progress.waited == 2


def test_the_loop_does_not_wait_for_threads_with_progress(loop: FakeLoop, progress: FakeProgress) -> None:
    """Progress since the last check counts for one check only."""
    handoff = GILHandoff(loop, progress)
    handoff.submitted()
    handoff.progressed()
    loop.tick()
    assert progress.waited == 0
    loop.tick()
    assert progress.waited == 1


def test_progress_of_former_work_does_not_count(loop: FakeLoop, progress: FakeProgress) -> None:
    """What was reported before the first piece of outstanding work says nothing about it."""
    handoff = GILHandoff(loop, progress)
    handoff.progressed()
    handoff.submitted()
    loop.tick()
    assert progress.waited == 1


def test_nothing_outstanding_is_not_waited_for(loop: FakeLoop, progress: FakeProgress) -> None:
    """A check that finds all work done returns at once."""
    handoff = GILHandoff(loop, progress)
    handoff.submitted()
    handoff.completed()
    loop.tick()
    assert progress.waited == 0
