"""Work that Ctrl-C does not meet."""

import os
import signal
import threading

import pytest

from flowgram_server.cli.apart import apart


def test_what_the_work_gives_or_raises_comes_back() -> None:
    """As if it had been called; but in another thread."""
    assert apart(threading.get_ident) != threading.get_ident()
    with pytest.raises(LookupError, match="nothing there"):
        apart(lambda: (_ for _ in ()).throw(LookupError("nothing there")))


def test_ctrl_c_ends_the_waiting_and_not_the_work() -> None:
    """The work goes on where it is, with whatever it holds."""
    goes_on, ended = threading.Event(), threading.Event()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        goes_on.wait()
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        apart(work)
    assert not ended.is_set()
    goes_on.set()
    assert ended.wait(10)
