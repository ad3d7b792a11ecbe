#!/bin/sh
# Writes deploy/requirements.txt anew: the versions of constraints.txt of all that the server needs with its extras, each with
# the hashes of the files for the image's Python, on x86-64 and ARM, and for the oldest Python that is supported. The image is
# built from it. Run it after every change of constraints.txt.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-.venv/bin/python}" -m venv "$work/venv"
python="$work/venv/bin/python"
pip() {
    "$python" -m pip --quiet --disable-pip-version-check --no-input "$@"
}
WITHOUT_CONSOLE=1 pip install --constraint constraints.txt ./clients/python '.[otel,temporal]'
pip freeze --exclude flowgram-server --exclude flowgram-client | grep -E '^[A-Za-z0-9._-]+==' >"$work/pins.txt"
for target in 3.13:x86_64 3.13:aarch64 3.11:x86_64; do
    version=${target%:*} machine=${target#*:}
    pip install --dry-run --no-deps --ignore-installed --target "$work/none" --only-binary :all: \
        --python-version "$version" --platform "manylinux_2_28_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux2014_$machine" --report "$work/$version-$machine.json" --requirement "$work/pins.txt"
done
"$python" tools/image_requirements.py "$work"/*.json >"$work/requirements.txt"
cp "$work/requirements.txt" deploy/requirements.txt
