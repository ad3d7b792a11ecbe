#!/bin/sh
# Writes constraints.txt anew: the newest versions that pyproject.toml allows, found by installing
# them into a temporary environment. Run the tests before you commit the result.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-.venv/bin/python}" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --upgrade ./clients/python '.[dev]'
{
    sed -n '/^#/p' constraints.txt
    "$work/venv/bin/python" -m pip freeze --disable-pip-version-check --exclude flowgram-server --exclude flowgram-client \
        | grep -E '^[A-Za-z0-9._-]+=='
} >"$work/constraints.txt"
cp "$work/constraints.txt" constraints.txt
