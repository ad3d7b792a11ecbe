#!/bin/sh
# Makes a virtual environment of this project, or brings it up to date:
#
#   tools/setup_venv.sh DIRECTORY CONSTRAINTS...
#
# Nothing is installed while pyproject.toml and the constraints are as they were, so it also works
# without a network once it is done. Where two constraints files pin one package, the last one counts.
# PYTHON names the interpreter to use; without it, the first Python 3.11 or newer on PATH is taken.
set -eu

venv=$1
shift
stamp="$venv/.stamp"

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python 3.11 or newer."
        echo "$PYTHON"
        return
    fi
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and none was found on PATH." \
        "Install one, or name it: make PYTHON=/path/to/python3.11"
}

# The constraints, a later pin of a package replacing an earlier one.
merged_constraints() {
    awk -F'==' '/^[A-Za-z0-9]/ { pin[$1] = $0 } END { for (name in pin) print pin[name] }' "$@" | sort
}

wanted=$(cat pyproject.toml clients/python/pyproject.toml "$@" | cksum)
if [ -x "$venv/bin/python" ] && is_new_enough "$venv/bin/python"; then
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        touch "$stamp"
        exit 0
    fi
else
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || fail \
        "$python cannot make virtual environments: its venv or ensurepip module is missing." \
        "On Debian and Ubuntu: apt-get install python3-venv" \
        "Or name another interpreter: make PYTHON=/path/to/python3.11"
    echo "Setting up $venv with $("$python" --version) (once; needs a network)" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi

constraints="$venv/constraints.txt"
merged_constraints "$@" >"$constraints"
echo "Installing into $venv" >&2
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --constraint "$constraints" --editable clients/python --editable '.[dev]' || fail \
    "The installation into $venv failed. Without a network it cannot be done; with one, try again."
echo "$wanted" >"$stamp"
