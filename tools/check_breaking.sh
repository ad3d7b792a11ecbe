#!/bin/sh
# Fails if the protos break clients of the last commit of main. Where the checked-out commit is that
# commit, and the protos are unchanged, they are compared with the commit before it.
# AGAINST names another commit to compare with. BUF names the buf program.
set -eu

skip() {
    echo "buf breaking: skipped, $1" >&2
    exit 0
}

exists() {
    git rev-parse --verify --quiet "$1^{commit}" >/dev/null
}

has_protos() {
    [ -n "$(git ls-tree "$1" protos/ 2>/dev/null)" ]
}

command -v git >/dev/null 2>&1 || skip "git is not installed"
git rev-parse --git-dir >/dev/null 2>&1 || skip "this is not a git clone"

against=${AGAINST:-}
if [ -z "$against" ]; then
    for branch in main origin/main; do
        if exists "$branch"; then
            against=$branch
            break
        fi
    done
    [ -n "$against" ] || skip "there is no commit of main to compare with"
    if [ "$(git rev-parse HEAD)" = "$(git rev-parse "$against")" ] \
        && [ -z "$(git status --porcelain -- protos)" ] && exists "$against~1"; then
        against="$against~1"
    fi
fi
has_protos "$against" || skip "$against has no protos"

git archive --format=tar "$against" protos \
    | "${BUF:-buf}" breaking protos --against '-#format=tar,subdir=protos'
