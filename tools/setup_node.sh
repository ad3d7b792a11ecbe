#!/bin/sh
# Installs the Node packages that a folder's package-lock.json names, for tests that need them:
#
#   tools/setup_node.sh DIRECTORY
#
# Without node and npm, or without a network, it says that those tests will be skipped. With CI=true
# both are required. Nothing is installed while package-lock.json is as it was.
set -eu

directory=$1
stamp="$directory/node_modules/.stamp"

skip() {
    if [ "${CI:-}" = true ]; then
        echo "$directory: $1, and CI=true requires it" >&2
        exit 1
    fi
    echo "$directory: $1; the tests that need it will be skipped" >&2
    exit 0
}

[ -f "$directory/package-lock.json" ] || exit 0
command -v node >/dev/null 2>&1 || skip "node is not installed"
command -v npm >/dev/null 2>&1 || skip "npm is not installed"

wanted=$(cksum <"$directory/package-lock.json")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi
echo "Installing the Node packages of $directory" >&2
(cd "$directory" && npm ci --silent --no-audit --no-fund) || skip "npm ci failed"
echo "$wanted" >"$stamp"
