#!/bin/sh
# Runs the tests of the clients and of the service with the oldest gRPC and Protocol Buffers that
# pyproject.toml allows, in an environment of their own:
#
#   tools/test_oldest.sh ARGUMENTS...   the arguments go to pytest
#   tools/test_oldest.sh --setup        only makes the environment
#
# Those of settings, credentials and commands, which do not depend on either, are left out, and so is the second host of
# the clients' tests: what a client is sent does not depend on it. One test of the server on Temporal is among those that run.
set -eu

# These versions were never built for Python 3.14 and newer.
status=0
NEWEST=3.13 tools/setup_venv.sh .venv-oldest constraints.txt tools/constraints-oldest.txt || status=$?
if [ "$status" -eq 3 ]; then
    echo "test-oldest: skipped, it needs Python 3.11, 3.12 or 3.13" >&2
    exit 0
fi
[ "$status" -eq 0 ] || exit "$status"

.venv-oldest/bin/python - <<'CHECK'
from importlib.metadata import version

for line in open("tools/constraints-oldest.txt"):
    name, _, wanted = line.strip().partition("==")
    if wanted and version(name) != wanted:
        raise SystemExit(f".venv-oldest has {name} {version(name)}, not {wanted}")
CHECK
if [ "${1:-}" = --setup ]; then
    exit 0
fi
# The other tests are of the compiled form.
export FLOWGRAM_COMPILED=0
set -- --ignore=tests/server/settings --ignore=tests/server/auth --ignore=tests/server/cli \
    -k "not temporal or cluster_that_is_away" "$@"
exec .venv-oldest/bin/python -m pytest "$@" tests/clients/python tests/clients/test_python.py tests/contract tests/server
