#!/bin/sh
# Generates the Go code of the protos with buf, protoc-gen-go and protoc-gen-go-grpc:
#
#   tools/generate_go.sh            writes clients/go/flowgram/runtime/v1 anew
#   tools/generate_go.sh --check    fails where that would change a file, and changes nothing
#
# clients/go/tools/go.mod names the versions of the generators. A check without go, or without the
# generators, is skipped, unless CI=true.
set -eu
cd "$(dirname "$0")/.."

package=flowgram/runtime/v1
output=clients/go/$package
buf=${BUF:-.venv/bin/buf}

check=no
case "${1:-}" in
'') ;;
--check) check=yes ;;
*) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

missing() {
    if [ "$check" = yes ] && [ "${CI:-}" != true ]; then
        echo "generate_go: skipped, $1" >&2
        exit 0
    fi
    echo "generate_go: failed, $1" >&2
    exit 1
}

command -v go >/dev/null 2>&1 || missing "go is not installed"
go -C clients/go/tools mod download || missing "the generators cannot be downloaded"

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$buf" generate protos --path protos/flowgram --template clients/go/buf.gen.yaml --output "$fresh"

if [ "$check" = yes ]; then
    diff -ruN "$output" "$fresh/$package" >&2 || { echo "generated code differs: run tools/generate_go.sh" >&2; exit 1; }
else
    rm -rf "$output"
    mkdir -p "$output"
    cp "$fresh/$package/"*.go "$output"
fi
