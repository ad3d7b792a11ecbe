import threading

from flowgram_client._watchdog import Watchdog


def test_expires_when_one_read_lasts_too_long() -> None:
    """A read that does not end is ended."""
    expired = threading.Event()
    watchdog = Watchdog(0.003, expired.set)
    watchdog.waits()
    assert expired.wait(10)
    assert watchdog.expired


def test_a_slow_consumer_is_not_a_silent_server() -> None:
    """Time between reads does not count, and neither do many short reads together."""
    expired = threading.Event()
    watchdog = Watchdog(0.03, expired.set)
    for _ in range(200):
        watchdog.waits()
        watchdog.got()
    assert not expired.wait(0.1)
    watchdog.close()
