#!/bin/sh
# Builds build/temporal-dev, the Temporal server that tests, `make run RUNTIME=temporal` and compose.yaml use:
#
#   tools/build_temporal.sh               builds it where it is missing or its source has changed
#   tools/build_temporal.sh --required    the same; fails where it cannot be built
#
# The first time takes some minutes: Temporal's server and what it needs are downloaded and compiled once, and kept in Go's
# cache (GOCACHE, GOMODCACHE). Without go, or without a network, it says so, and the tests that need it are skipped; with
# CI=true it is required.
set -eu
cd "$(dirname "$0")/.."

output=build/temporal-dev
stamp=$output.stamp
required=${CI:-}
[ "${1:-}" = --required ] && required=true

missing() {
    if [ "$required" = true ]; then
        echo "build_temporal: $1; it is needed to build the Temporal server of tools/temporal" >&2
        exit 1
    fi
    echo "build_temporal: $1; the tests that need a Temporal server will be skipped" >&2
    exit 0
}

wanted=$(cat tools/temporal/*.go tools/temporal/go.mod tools/temporal/go.sum | cksum)
if [ -x "$output" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
command -v go >/dev/null 2>&1 || missing "go is not installed"
mkdir -p build
echo "Building the Temporal server for development and tests (some minutes the first time)" >&2
# -s -w: without what only debuggers read, a third of its size.
go -C tools/temporal build -trimpath -ldflags='-s -w' -o "../../$output.new" . || missing "go build failed"
mv "$output.new" "$output"
echo "$wanted" >"$stamp"
