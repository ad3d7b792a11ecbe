#!/bin/sh
# Writes a bill of materials of the image's environment, in CycloneDX's JSON:
#
#   tools/make_sbom.sh [FILE]
#
# It installs deploy/requirements.txt, by its hashes, into an environment of its own and looks at that.
set -eu
cd "$(dirname "$0")/.."

out=${1:-build/sbom.cdx.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${PYTHON:-.venv/bin/python}
install() { # PYTHON ARGUMENTS...: into the environment of an interpreter, which needs no pip of its own; nothing of it will run for long
    at=$1
    shift
    "$python" -m pip --python "$at" install --quiet --disable-pip-version-check --no-input --no-compile "$@"
}

"$python" -m venv --without-pip "$work/image"
"$python" -m venv --without-pip "$work/tools"
install "$work/image/bin/python" --require-hashes --requirement deploy/requirements.txt
WITHOUT_CONSOLE=1 install "$work/image/bin/python" --no-deps ./clients/python .
install "$work/tools/bin/python" 'cyclonedx-bom>=7,<8'
mkdir -p "$(dirname "$out")"
"$work/tools/bin/cyclonedx-py" environment --output-reproducible --pyproject pyproject.toml --mc-type application \
    --output-format JSON --output-file "$out" "$work/image/bin/python"
echo "$out"
