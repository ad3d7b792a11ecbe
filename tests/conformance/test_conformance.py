"""This project does what FlowGram's own runtime does, on random workflows. `make conformance` runs many more."""

import os

import pytest
from tests.conformance import campaign
from tests.conformance.peer import Peer
from tests.conformance.reference import Reference, missing
from tests.conformance.service import Service

COUNT = 200
SEED = 20


def _require_reference() -> None:
    problem = missing()
    if problem is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{problem}, and CI=true requires it")
    pytest.skip(problem)


async def test_random_workflows_run_as_in_the_reference() -> None:
    """Outcome, node statuses, snapshots and texts are the same, but for the listed differences."""
    _require_reference()
    with Peer() as peer:
        async with Reference() as reference, Service() as service:
            result = await campaign.run(
                reference, service.observe, peer.base_url, seed=SEED, count=COUNT, shrunk=2
            )
    told = "\n\n".join(found.told() for found in result.disagreements[:2])
    assert result.passed, f"{told}\n\n{result.table()}"
