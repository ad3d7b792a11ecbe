import threading

from flowgram_client._watchdog import Watchdog


def test_barks_when_one_read_lasts_too_long() -> None:
    """A read that does not end is ended."""
    barked = threading.Event()
    dog = Watchdog(0.003, barked.set)
    dog.waits()
    assert barked.wait(10)
    assert dog.barked


def test_a_slow_consumer_is_not_a_silent_server() -> None:
    """Time between reads does not count, and neither do many short reads together."""
    barked = threading.Event()
    dog = Watchdog(0.03, barked.set)
    for _ in range(200):
        dog.waits()
        dog.got()
    assert not barked.wait(0.1)
    dog.close()
