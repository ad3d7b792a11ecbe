"""Nothing that a client has seen is lost when the server is killed. `make torture` kills it many more times."""

import pytest
from tests.torture.runner import torture

KILLS = 10
SEED = 4


@pytest.mark.timeout(400)
async def test_nothing_that_was_reported_is_lost() -> None:
    """After kills at random instants every task has ended as it would have undisturbed, and its log holds all that was seen."""
    result = await torture(kills=KILLS, seed=SEED, tell=lambda _: None)
    assert not result.violations, "\n".join(result.violations[:10]) + f"\n\n{result.table()}"
    assert result.events
