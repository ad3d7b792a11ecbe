#!/bin/sh
# Builds build/helm, the Helm that the tests of the chart use, at the version that is named here. The first time takes some
# minutes; it needs go and a network. Without it, and without a helm on PATH, those tests are skipped.
set -eu
cd "$(dirname "$0")/.."

version=v3.19.0
mkdir -p build
if [ -x build/helm ] && [ "$(cat build/helm.stamp 2>/dev/null)" = "$version" ]; then
    exit 0
fi
GOBIN="$PWD/build" go install "helm.sh/helm/v3/cmd/helm@$version"
echo "$version" >build/helm.stamp
