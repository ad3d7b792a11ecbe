"""The disposer frees values when nobody else has them any more."""

import threading
import weakref
from typing import Any

from flowgram_core.embedded.disposer import Disposer

SECONDS = 10


class Part(str):
    """A text that others can see go."""

    __slots__ = ("__weakref__",)


def value_with(gone: threading.Event) -> dict[str, Any]:
    """A value, and an event that is set once it has been freed."""
    part = Part("x")
    weakref.finalize(part, gone.set)
    return {"large": [[{}], 1, 2.5, part]}


def test_what_nobody_has_is_freed_in_the_thread() -> None:
    """The caller has nothing to do with it any more."""
    disposer, gone = Disposer(), threading.Event()
    values = [value_with(gone)]
    disposer.free(values)
    values.clear()
    assert gone.wait(SECONDS)
    disposer.close()


def test_what_somebody_has_is_freed_when_it_is_let_go() -> None:
    """It stays as it is until then, and the last reference is the disposer's."""
    disposer, gone = Disposer(0.001), threading.Event()
    value = value_with(gone)
    inner = value["large"]
    disposer.free([value])
    first = threading.Event()
    disposer.free([value_with(first)])
    assert first.wait(SECONDS)
    assert value["large"] is inner
    del value
    assert not gone.is_set()
    assert len(inner) == 4
    del inner
    assert gone.wait(SECONDS)
    disposer.close()


def test_a_closed_disposer_keeps_nothing() -> None:
    """What is given to it then is its giver's."""
    disposer, gone = Disposer(), threading.Event()
    disposer.close()
    disposer.free([value_with(gone)])
    assert gone.wait(SECONDS)
