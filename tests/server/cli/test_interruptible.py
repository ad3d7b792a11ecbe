"""Work in a thread of its own. What Ctrl-C does to it, test_process.py shows: only a process of its own can be interrupted."""

import threading

import pytest

from flowgram_server.cli.interruptible import interruptible


def test_what_the_work_gives_or_raises_comes_back() -> None:
    """As if it had been called; but in another thread."""
    assert interruptible(threading.get_ident) != threading.get_ident()
    with pytest.raises(LookupError, match="nothing there"):
        interruptible(lambda: (_ for _ in ()).throw(LookupError("nothing there")))
