#!/usr/bin/env bash
# check_evaluate.sh - scripts/evaluate.sh on a tiny model: every kind of row, and a failing step.
#
# SPDX-License-Identifier: MIT
#
# RBE_BIN names the folder with the programs.
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1
export RBE_DATA=$PWD/datasets/embedded
rbe=${RBE_BIN:?names the folder with the programs}/rbe

gives 0 "$rbe" synth --shape 1,64,2,512,8192 "$work/tiny"
gives 0 "$rbe" convert "$work/tiny" "$work/tiny.rbe" --profile int4 --quiet
check 'a tiny model' test -s "$work/tiny.rbe"

# evaluate NAME VARIABLE=VALUE...: a rehearsal with data of its own.
evaluate() {
    local to=$work/$1
    shift
    env RBE_BIN="$RBE_BIN" RESULTS="$to" MODEL="$work/tiny" RBE="$work/tiny.rbe" QUICK=1 QUIET=1 \
        THREADS=1 DATA="$work" LAMBADA="$work/lambada.jsonl" "$@" scripts/evaluate.sh
}
head -n 12 "$RBE_DATA/lambada_test.jsonl" > "$work/lambada.jsonl"
check 'make eval, a rehearsal' gives 0 evaluate all
for kind in perplexity paired divergence inference edge conversation generation comprehension; do
    check "a row of kind $kind" grep -q "\"kind\":\"$kind\"" "$work/all/eval.jsonl"
done
check 'the long mode is among them' grep -q '"mode":"sequences"' "$work/all/eval.jsonl"
check 'tables say that weights are synthetic' grep -q '(synthetic)' "$work/out"

# One that cannot work: the rest runs all the same, and the end names it.
echo 'no JSON' > "$work/lambada.jsonl"
check 'a broken task fails' gives 1 evaluate broken SEQUENCES=0
check 'the end names it' grep -q 'failed:.* comprehension$' "$work/err"
check 'what comes before and after has rows' grep -q '"kind":"generation"' \
    "$work/broken/eval.jsonl"
check 'a step left out' test "$(grep -c '"mode":"sequences"' "$work/broken/eval.jsonl")" = 0
finish
