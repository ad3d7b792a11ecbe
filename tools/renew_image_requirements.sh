#!/bin/sh
# Writes deploy/requirements.txt anew: the versions of constraints.txt of all that the server needs with its extras, each with
# the hashes of its files. The image is built from it. Run it after every change of constraints.txt.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-.venv/bin/python}" -m venv "$work/venv"
pip="$work/venv/bin/python -m pip --quiet --disable-pip-version-check --no-input"
WITHOUT_CONSOLE=1 $pip install --constraint constraints.txt ./clients/python '.[otel,temporal]'
$pip freeze --exclude flowgram-server --exclude flowgram-client | grep -E '^[A-Za-z0-9._-]+==' >"$work/pins.txt"
"${PYTHON:-.venv/bin/python}" -m venv "$work/tools"
"$work/tools/bin/python" -m pip install --quiet --disable-pip-version-check --no-input pip-tools
{
    echo "# Everything in the image, with the hashes of its files. Written by tools/renew_image_requirements.sh."
    "$work/tools/bin/pip-compile" --quiet --generate-hashes --no-header --no-annotate --no-emit-index-url \
        --no-emit-trusted-host --no-emit-find-links --strip-extras --allow-unsafe --output-file - "$work/pins.txt"
} >"$work/requirements.txt"
cp "$work/requirements.txt" deploy/requirements.txt
