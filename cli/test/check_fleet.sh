#!/usr/bin/env bash
# check_fleet.sh - scripts/fleet.sh by GNU parallel: one results file, what is missing, bad grids.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
PATH=${RBE_BIN:?names the folder with the programs}:$PATH
export RBE_DATA=$PWD/datasets/embedded
fleet=(scripts/fleet.sh --threads 1 --jobs 2 --retries 0)

check 'help' gives 0 scripts/fleet.sh --help
check 'tells how a grid is written' grep -q '^  profile NAME' "$work/out"

# grid LINE...: writes it.
grid() { printf '%s\n' "$@" > "$work/grid"; }
bad() { # PATTERN LINE...: such a grid is refused
    grid "${@:2}"
    check "$1" refuses 2 "grid.*$1" "${fleet[@]}" "$work/grid" "$work/out.jsonl"
}
bad "1: 'modle' is none of model, profile, eval" 'modle a b'
bad '1: model a: wants its path' 'model a'
bad "1: 'a/b' is no name" 'model a/b c'
bad '2: model a is there twice' 'model a b' 'model a c'
bad "2: 'x' is no number of parts" 'model a b' 'profile p:x'
bad "2: '0' is no number of parts" 'model a b' 'profile p:0'
bad "eval e: unknown evaluation 'speed'" 'model a b' 'profile p' 'eval e speed'
bad 'edge has no parts' 'model a b' 'profile p' 'eval e:2 edge'
bad 'eval e: models, parts, threads and files' 'model a b' 'profile p' 'eval e edge --out x'
bad 'names no model' 'profile p'
bad 'names no profile' 'model a b'
check 'no grid' refuses 1 'none: cannot read the grid' "${fleet[@]}" "$work/none" "$work/out.jsonl"
check 'no results' refuses 2 'wants GRID and RESULTS' "${fleet[@]}" "$work/grid"
check 'an unknown option' refuses 2 "unknown option '--fast'" "${fleet[@]}" --fast a b
check 'no number' refuses 2 "jobs 'x': wants a number" scripts/fleet.sh --jobs x a b
check 'nothing was made' [ -z "$(find "$work" -name '*.fleet')" ]
if ! command -v parallel > "$work/out"; then
    [ -z "${CI:-}" ] || check 'GNU parallel is installed: continuous integration needs it' false
    echo 'SKIP GNU parallel is not installed'
    finish
    exit
fi

# Two profiles, one of which cannot be had at first: the rest is there, and it is named.
rbe synth "$work/small" --shape 2,32,2,64,8192 > "$work/out"
head -c 3000 "$RBE_DATA/calibration.txt" > "$work/text"
grid '# a comment' "model small $work/small" 'profile int4:2' "profile own --profile $work/p.profile" \
    "eval p1:2 perplexity --windows 5 --text $work/text"
check 'a profile is not there' gives 1 "${fleet[@]}" "$work/grid" "$work/out.jsonl"
check 'is told with the reason' grep -q '^  convert small own 1: rbe convert: .*p.profile' "$work/out"
check 'what is missing' grep -q '^missing: small by own, p1$' "$work/out"
check 'and how much' grep -q ': 2 of 4 results are missing$' "$work/out"
check 'what could be done is there' [ "$(wc -l < "$work/out.jsonl")" = 4 ]
printf 'all codec=int8\n' > "$work/p.profile"
inodes() { (cd "$work/out.jsonl.fleet" && stat -c '%i %n' models/*/*int4* rows/*/*int4*); }
inodes > "$work/inodes"
check 'the same command does the rest' gives 0 "${fleet[@]}" "$work/grid" "$work/out.jsonl"
check 'and nothing twice' [ "$(inodes)" = "$(cat "$work/inodes")" ]
check 'all is there' grep -q ': 4 results$' "$work/out"
check 'the original once' [ "$(jq -c .kind "$work/out.jsonl" | sort | uniq -c | tr -d ' "\n')" = \
    2convert2paired3perplexity ]
check 'the status says so' gives 0 "${fleet[@]}" --status "$work/grid" "$work/out.jsonl"
rbe eval perplexity --windows 5 --text "$work/text" -m "$work/small" -q --out "$work/one" \
    > "$work/out"
values() { jq -c 'select(.kind == "perplexity" and .model.name == "small") |
    [.perplexity, .perplexity_ci95, .nll_sum, .samples]' "$1"; }
check 'its value is that of one run' [ "$(values "$work/one")" = "$(values "$work/out.jsonl")" ]
finish
