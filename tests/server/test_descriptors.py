"""File descriptors: connections get their share, and scarcity is logged."""

import asyncio
from pathlib import Path

import pytest
from support.fakes import FakeClock

from flowgram_server.descriptors import connection_shares, raise_limit, watch_descriptors


def test_connections_leave_a_reserve() -> None:
    """Incoming connections take three quarters of what is left after the reserve, calls the rest; never less than a few."""
    shares = connection_shares(1128)
    assert shares == (500, 250, 125, 125)
    assert min(connection_shares(64)) > 0


def test_calls_get_what_settings_ask_for() -> None:
    """As long as a quarter is left for incoming connections, and the other kind of node keeps its share."""
    assert connection_shares(1128, http_calls=400) == (316, 158, 400, 125)
    assert connection_shares(1128, http_calls=10_000) == (166, 83, 625, 125)
    assert connection_shares(1128, http_calls=100, llm_calls=10_000) == (166, 83, 125, 625)


def test_the_limit_is_raised_only() -> None:
    """Asked twice, it says the same."""
    assert raise_limit() == raise_limit() > 0


async def test_scarcity_is_logged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When it begins, and when it ends."""
    clock = FakeClock()
    for number in range(9):
        (tmp_path / str(number)).touch()
    watching = asyncio.create_task(watch_descriptors(10, clock, tmp_path))
    for _ in range(3):
        await clock.sleeping()
        clock.advance(5)
    (tmp_path / "0").unlink()
    for _ in range(3):
        await clock.sleeping()
        clock.advance(5)
    await clock.sleeping()
    watching.cancel()
    out = capsys.readouterr().out
    assert out.count("running out") == 1
    assert out.count("descriptors again") == 1


async def test_nothing_is_watched_where_nothing_can_be() -> None:
    """On systems without /proc it ends."""
    await watch_descriptors(10, FakeClock(), Path("/nowhere/fd"))
