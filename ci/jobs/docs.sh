#!/usr/bin/env bash
# docs.sh - runs every command of README and docs/, and looks for every path they name
#
# SPDX-License-Identifier: MIT
#
# The blocks fenced as ```sh of one page run in order, in one shell, in a copy of the tree that
# shares this one's build folder; a command that fails fails the job.  A block fenced as
# ```sh long (minutes) is only parsed, and its make targets looked up: the job docs-long
# (CI_LONG=1) runs it, smaller: scripts with QUICK=1, rbe with the options of `smaller` below.
# A block fenced as ```sh left out: REASON is parsed, and named with its reason.
# CI_PAGES names the pages (default: all, and the examples of the manual pages).  Links between
# pages, their kinds and their words: ci/pages.sh, in the job style.
set -u
cd "$(dirname "$0")/../.." || exit 2
root=$(mkdir -p "${BUILDROOT:-build}" && cd "${BUILDROOT:-build}" && pwd)
pages=(README.md CONTRIBUTING.md docs/*.md docs/log/*.md)
[ -z "${CI_PAGES:-}" ] || read -ra pages <<< "$CI_PAGES"
bad=0 commands=0 paths=0

complain() {
    echo "FAIL $*"
    bad=1
}

# made PAGE: the files that it has its reader write, each under a heading of its name.
made() { sed -n 's/^### `\(.*\)`$/\1/p' "$1"; echo '(no more)'; }
# Paths: every word like room/..., in text or code, unless it holds a pattern, is a product or one
# of the service's topics.
rooms='base|bench|kernels|eval|datasets|reports|scripts|ci|cli|rbe|model|grad|convert|train|gate|deploy|include|docs'
for page in "${pages[@]}"; do
    [ -f "$page" ] || { complain "$page is missing"; continue; }
    while IFS= read -r path; do
        path=${path%[.,:;]}
        paths=$((paths + 1))
        [ -e "$path" ] || [ -e "${page%/*}/$path" ] || complain "$page names $path: not there"
    done < <(grep -oE "(^|[ \`(\"'=])($rooms)/[A-Za-z0-9_./*{<\[+-]+" "$page" |
        sed -E "s/^[ \`(\"'=]//" | grep -vE '[*{<[]|^rbe/(request|response|reply/|status)$' | sort -u | grep -vxFf <(made "$page"))
done

# Commands.
export BUILDROOT=${BUILDROOT:-build}
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
# By its name in the copy: make takes no blanks, which this folder's path may have.
export BUILDROOT=build

# What long commands get, as if typed behind them.
smaller() {
    cat << 'END'
export QUICK=1 RBE_CHECK_EVERY=50
rbe() {
    case "$1 ${2:-}" in
    convert*) set -- "$@" --search fast --no-calibration --quiet ;;
    tune*) set -- "$@" --profile linear --tokens 3000 --valid-windows 2 --evaluations 1 --quiet ;;
    synth*) set -- "$@" --shape 2,64,2,256,50257 ;;
    eval\ perplexity*) set -- "$@" --windows 1 --quiet ;;
    eval\ inference*) set -- "$@" --retries 0 --quiet ;;
    esac
    case "$*" in
    *--sequences*) set -- "$@" --sequences 2 --length 8 ;;
    eval\ inference*) set -- "$@" --tokens 4 ;;
    esac
    command rbe "$@"
}
rbe-bench() { command rbe-bench "$@" --min-time 0.001 --probe-time 0.001 --set-limit 8 --quiet; }
export -f rbe rbe-bench
END
}
left_out=()
# Examples of --help and of the manual pages, from cli/commands.def: those of seconds run, all parse.
bin=$root/$(gcc -dumpmachine | cut -d- -f1)-release/bin
if [ -z "${CI_PAGES:-}${CI_LONG:-}" ]; then
    "$bin/rbe" man examples short > "$work/examples.sh"
    "$bin/rbe" man examples long > "$work/long.sh"
    bash -n "$work/long.sh" || complain 'a long example does not parse'
    commands=$((commands + $(grep -vc '^#' "$work/examples.sh")))
    echo '== examples'
    start=$SECONDS
    mkdir "$work/examples"
    (cd "$work/examples" && PATH=$bin:$PATH bash -eux -o pipefail "$work/examples.sh" < /dev/null) ||
        complain 'an example fails'
    echo "== examples: $((SECONDS - start)) s"
fi
for page in "${pages[@]}"; do
    [ -f "$page" ] || continue
    awk '/^```sh/ { on = /^```sh$/ ? "run" : /^```sh long$/ ? "long" : /^```sh left out: ./ ? "out" : "odd"
                    why = $0; sub(/.*left out: /, "", why); if (on == "out") print "why\t" why
                    if (on == "odd") print "odd\t" $0; next }
         /^```/ { on = "" } on { print on "\t" $0 }' "$page" > "$work/blocks"
    commands=$((commands + $(grep -cvP '^why\t' "$work/blocks")))
    while IFS= read -r odd; do complain "$page: a block fenced as $odd"; done \
        < <(sed -n 's/^odd\t//p' "$work/blocks")
    while IFS= read -r why; do left_out+=("$page: $why"); done \
        < <(sed -n 's/^why\t//p' "$work/blocks")
    sed -n 's/^\(long\|out\)\t//p' "$work/blocks" > "$work/long.sh"
    bash -n "$work/long.sh" || complain "$page: a long block does not parse"
    while IFS= read -r target; do
        make -n "$target" > /dev/null 2>&1 || complain "$page: no target '$target'"
    done < <(grep -oE 'make +[a-z][a-z-]*' "$work/long.sh" | awk '{ print $2 }' | sort -u)
    if [ -n "${CI_LONG:-}" ]; then
        { smaller && sed -n 's/^long\t//p' "$work/blocks"; } > "$work/run.sh"
        grep -q '^long' "$work/blocks" || continue
    else
        sed -n 's/^run\t//p' "$work/blocks" > "$work/run.sh"
    fi
    [ -s "$work/run.sh" ] || continue
    echo "== $page"
    start=$SECONDS
    (cd "$work/tree" && bash -eux -o pipefail "$work/run.sh" < /dev/null) ||
        complain "$page: a command fails"
    echo "== $page: $((SECONDS - start)) s"
done
for l in "${left_out[@]}"; do echo "left out: $l"; done
[ $bad = 0 ] && echo "$commands lines of commands, $paths paths, ${#left_out[@]} blocks left out"
exit $bad
