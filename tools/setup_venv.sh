#!/bin/sh
# Makes a virtual environment of this project, or brings it up to date:
#
#   tools/setup_venv.sh DIRECTORY CONSTRAINTS...
#
# Nothing is installed while pyproject.toml and the constraints are as they were, so it also works
# without a network once it is done. Where two constraints files pin one package, the last one counts.
# PYTHON names the interpreter to use. Without it, that is the first Python 3.11 or newer on PATH that was built with
# optimizations, preferably one with the headers to compile extension modules; the first of all where none was. NEWEST is
# the newest version that will do, such as 3.13. An environment that is there keeps its interpreter.
# The exit status is 3 where there is no interpreter that will do.
set -eu

venv=$1
shift
stamp="$venv/.stamp"
newest=${NEWEST:-3.99}
wanted_python="Python 3.11 ${NEWEST:+to }${NEWEST:-or newer}"

fail() {
    printf '%s\n' "$@" >&2
    exit 1
}

not_found() {
    printf '%s\n' "$@" >&2
    exit 3
}

# How well an interpreter serves: 4 with headers and 3 without, 2 where it was built without optimizations, 1 where it makes
# no virtual environments. Fails where it does not work, or its version will not do.
#
# Distributions build theirs with optimizations, but not all by the option that CPython has for it.
quality() {
    "$1" -c '
import importlib.util, os, sys, sysconfig

if not (3, 11) <= sys.version_info[:2] <= tuple(map(int, sys.argv[1].split("."))):
    sys.exit(1)
if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
    print(1)
elif sys.base_prefix != "/usr" and "--enable-optimizations" not in (sysconfig.get_config_var("CONFIG_ARGS") or ""):
    print(2)
else:
    print(4 if os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")) else 3)
' "$newest" 2>/dev/null </dev/null
}

# All interpreters on PATH: pyenv, for one, puts programs in front that are called as those behind them.
candidates() {
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        printf '%s\n' "$PATH" | tr : '\n' | while IFS= read -r folder; do
            if [ -f "${folder:-.}/$name" ] && [ -x "${folder:-.}/$name" ]; then
                printf '%s\n' "${folder:-.}/$name"
            fi
        done
    done
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        quality "$PYTHON" >/dev/null || not_found "PYTHON=$PYTHON is not a working $wanted_python."
        printf '%s\n' "$PYTHON"
        return
    fi
    candidates | {
        best=0
        while [ "$best" -lt 4 ] && IFS= read -r candidate; do
            found=$(quality "$candidate") || continue
            if [ "$found" -gt "$best" ]; then
                best=$found
                python=$candidate
            fi
        done
        [ "$best" -gt 0 ] || not_found "$wanted_python is needed, and none was found on PATH." \
            "Install one, or name it: make PYTHON=/path/to/python3.11"
        if [ "$best" -eq 2 ]; then
            echo "$python was built without optimizations. One with them, as distributions have it, is a fifth faster." >&2
        fi
        printf '%s\n' "$python"
    }
}

# The constraints, a later pin of a package replacing an earlier one.
merged_constraints() {
    awk -F'==' '/^[A-Za-z0-9]/ { pin[$1] = $0 } END { for (name in pin) print pin[name] }' "$@" | sort
}

wanted=$(cat pyproject.toml clients/python/pyproject.toml "$@" | cksum)
if [ -x "$venv/bin/python" ] && quality "$venv/bin/python" >/dev/null; then
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
