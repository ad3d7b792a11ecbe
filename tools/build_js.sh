#!/bin/sh
# Compiles the TypeScript client and its gateway into clients/js/dist, with the packages that its package-lock.json names:
#
#   tools/build_js.sh
#
# Without node, npm or a network it says so and compiles nothing; with CI=true they are required.
# What is compiled already is not compiled again.
set -eu
cd "$(dirname "$0")/.."

tools/setup_node.sh clients/js
if [ -x clients/js/node_modules/.bin/tsc ]; then
    cd clients/js
    exec node node_modules/typescript/bin/tsc --build
fi
