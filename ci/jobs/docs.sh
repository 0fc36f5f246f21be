#!/usr/bin/env bash
# docs.sh - runs every command of README and docs/, and looks for every path they name
#
# SPDX-License-Identifier: MIT
#
# The blocks fenced as ```sh of one page run in order, in one shell, in a copy of the tree that
# shares this one's build folder; a command that fails fails the job.  A block fenced as
# ```sh long (minutes; the job `check` and the scripts' own tests cover it) is only parsed,
# and its make targets looked up; CI_LONG=1 runs it too.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(mkdir -p "${BUILDROOT:-build}" && cd "${BUILDROOT:-build}" && pwd)
pages=(README.md CONTRIBUTING.md docs/*.md)
bad=0 commands=0 paths=0

complain() {
    echo "FAIL $*"
    bad=1
}

# Paths: every word like room/..., in text or code, unless it holds a pattern or is a product.
rooms='bench|kernels|eval|datasets|reports|scripts|ci|rbe|gpt2|tune|deploy|docs'
for page in "${pages[@]}"; do
    [ -f "$page" ] || { complain "$page is missing"; continue; }
    while IFS= read -r path; do
        path=${path%[.,:;]}
        paths=$((paths + 1))
        [ -e "$path" ] || [ -e "${page%/*}/$path" ] || complain "$page names $path: not there"
    done < <(grep -oE "(^|[ \`(\"'=])($rooms)/[A-Za-z0-9_./*{<\[+-]+" "$page" |
        sed -E "s/^[ \`(\"'=]//" | grep -vE '[*{<[]' | sort -u)
    # Links between pages.
    while IFS= read -r link; do
        [ -e "$(dirname "$page")/$link" ] || complain "$page links to $link: not there"
    done < <(grep -oE '\]\([^)#: ]+' "$page" | sed 's/^](//' | sort -u)
done

# Commands.
make -s -j"$(nproc)" programs || { complain 'the programs do not build'; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tree"
if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    git ls-files -co --exclude-standard -z
else
    find . -type f -not -path './build/*' -not -path './results/*' -not -path './.git/*' -print0
fi | while IFS= read -r -d '' f; do [ ! -e "$f" ] || printf '%s\0' "$f"; done |
    xargs -0 cp -p --parents -t "$work/tree"
[ ! -d ../shared ] || ln -s "$(cd ../shared && pwd)" "$work/shared"
ln -s "$root" "$work/tree/build"
export BUILDROOT=$root

for page in "${pages[@]}"; do
    [ -f "$page" ] || continue
    awk '/^```sh/ { on = 1; long = ($0 ~ / long/); next } /^```/ { on = 0 }
         on { print (long ? "long" : "run") "\t" $0 }' "$page" > "$work/blocks"
    n=$(grep -c '^run' "$work/blocks")
    commands=$((commands + $(wc -l < "$work/blocks")))
    sed -n 's/^long\t//p' "$work/blocks" > "$work/long.sh"
    bash -n "$work/long.sh" || complain "$page: a long block does not parse"
    while IFS= read -r target; do
        make -n "$target" > /dev/null 2>&1 || complain "$page: no target '$target'"
    done < <(grep -oE 'make +[a-z][a-z-]*' "$work/long.sh" | awk '{ print $2 }' | sort -u)
    if [ -n "${CI_LONG:-}" ]; then
        cut -f 2- "$work/blocks" > "$work/run.sh"
    else
        sed -n 's/^run\t//p' "$work/blocks" > "$work/run.sh"
    fi
    [ -s "$work/run.sh" ] || continue
    echo "== $page: $n lines"
    (cd "$work/tree" && bash -eux -o pipefail "$work/run.sh" < /dev/null) ||
        complain "$page: a command fails"
done
[ $bad = 0 ] && echo "$commands lines of commands, $paths paths"
exit $bad
