"""This project does what FlowGram's own runtime does, on random workflows. `make conformance` runs many more."""

import os

import pytest
from tests.conformance import runner
from tests.conformance.mock_server import MockServer
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
    with MockServer() as mock_server:
        async with Reference() as reference, Service() as service:
            result = await runner.run(
                reference, service.observe, mock_server.base_url, seed=SEED, count=COUNT, shrunk=2
            )
    history = "\n\n".join(found.history() for found in result.disagreements[:2])
    assert result.passed, f"{history}\n\n{result.table()}"
