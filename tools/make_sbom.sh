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

for name in image tools; do
    "${PYTHON:-.venv/bin/python}" -m venv "$work/$name"
done
"$work/image/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes \
    --requirement deploy/requirements.txt
WITHOUT_CONSOLE=1 "$work/image/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps ./clients/python .
"$work/image/bin/python" -m pip uninstall --yes --quiet pip setuptools
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-input 'cyclonedx-bom>=7,<8'
mkdir -p "$(dirname "$out")"
"$work/tools/bin/cyclonedx-py" environment --output-reproducible --pyproject pyproject.toml --mc-type application \
    --output-format JSON --output-file "$out" "$work/image/bin/python"
echo "$out"
