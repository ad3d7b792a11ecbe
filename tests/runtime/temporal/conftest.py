from collections.abc import Iterator

import pytest
from support.temporal_server import TemporalServer, temporal_server


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TemporalServer]:
    """A Temporal server for the tests of one module."""
    with temporal_server(tmp_path_factory.mktemp("temporal")) as server:
        yield server
