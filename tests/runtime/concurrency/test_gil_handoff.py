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


@pytest.fixture
def loop() -> FakeLoop:
    return FakeLoop()


def test_the_loop_looks_as_long_as_something_is_asked(loop: FakeLoop) -> None:
    """One look at a time is planned, from the first question to the first look that finds none open."""
    relief = GILHandoff(loop)
    assert loop.later == []
    relief.ask()
    relief.ask()
    assert len(loop.later) == 1
    loop.later.pop()()
    assert len(loop.later) == 1
    relief.answered(2)
    loop.later.pop()()
    assert loop.later == []
    relief.ask()
    assert len(loop.later) == 1


def test_the_loop_waits_only_for_threads_that_do_not_come_on(loop: FakeLoop) -> None:
    """Progress since the last look is used up by a look; without any, the look waits for it and then goes on."""
    relief = GILHandoff(loop)
    relief.ask()
    relief.advanced()
    loop.later.pop()()
    assert not relief._progress.is_set()
    loop.later.pop()()
    assert len(loop.later) == 1
