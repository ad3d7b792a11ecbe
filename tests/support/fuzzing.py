"""How many inputs the fuzz targets are fed: some in the test suite, many with `make fuzz EXAMPLES=100000`."""

import os

from hypothesis import HealthCheck, settings

FUZZ = settings(
    deadline=None,
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
