"""The same on Temporal: workers, servers and the cluster are killed in turns. `make torture RUNTIME=temporal` does it more often."""

import pytest
from support.temporal_server import require_temporal
from tests.torture.runner import torture

KILLS = 5
SEED = 5


@pytest.mark.timeout(600)
async def test_nothing_that_was_reported_is_lost() -> None:
    """After kills of each of them nothing is lost, repeated or missing, and both servers tell the same bytes."""
    require_temporal()
    result = await torture(kills=KILLS, seed=SEED, tell=lambda _: None, runtime="temporal")
    assert not result.violations, "\n".join(result.violations[:10]) + f"\n\n{result.table()}"
    assert result.events
