#!/bin/sh
# Generates the TypeScript code of the protos with buf and protoc-gen-es:
#
#   tools/generate_js.sh            writes clients/js/src/gen anew
#   tools/generate_js.sh --check    fails where that would change a file, and changes nothing
#
# Besides the contract it takes the details of errors (google.rpc) from the Python package that ships them.
# A check without node is skipped, unless CI=true.
set -eu
cd "$(dirname "$0")/.."

output=clients/js/src/gen
buf=${BUF:-.venv/bin/buf}

check=no
case "${1:-}" in
'') ;;
--check) check=yes ;;
*) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

tools/setup_node.sh clients/js
if [ ! -x clients/js/node_modules/.bin/protoc-gen-es ]; then
    if [ "$check" = yes ]; then
        echo "generate_js: skipped, the generator is not installed" >&2
        exit 0
    fi
    echo "generate_js: failed, the generator is not installed" >&2
    exit 1
fi

common=$(.venv/bin/python -c 'import google.rpc, pathlib; print(pathlib.Path(google.rpc.__path__[0]).parent.parent)')
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT

mkdir -p "$fresh/protos/google/rpc" "$fresh/gen"
cp "$common/google/rpc/error_details.proto" "$fresh/protos/google/rpc/"
"$buf" generate protos --template clients/js/buf.gen.yaml --output "$fresh/gen"
"$buf" generate "$fresh/protos" --template clients/js/buf.gen.yaml --output "$fresh/gen"

if [ "$check" = yes ]; then
    diff -ru "$output" "$fresh/gen" >&2 || { echo "generated code differs: run tools/generate_js.sh" >&2; exit 1; }
else
    rm -rf "$output"
    mkdir -p "$output"
    cp -R "$fresh/gen/." "$output"
fi
