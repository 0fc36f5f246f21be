#!/usr/bin/env bash
# check_expected.sh - the results are those recorded, and others would be noticed
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)
expected() { "$here/ci/expected.sh" "$@"; }

check 'the results are those recorded' gives 0 expected
grep -h '^SKIP' "${work:?}/out" "$work/err"

# What was recorded, as if measured; then each kind of figure moved.
jq -r 'select(.set == "quick") | "\(.figure)\t\(.value)"' "$here/ci/expected.jsonl" > "$work/same"
measured() { expected --measured "$1"; }
check 'what was recorded passes' gives 0 measured "$work/same"
check 'all of it' test "$(tail -n 1 "$work/out")" = "$(wc -l < "$work/same") passed, 0 failed"
moves() { # WHAT NAME EXPRESSION-OF-ITS-VALUE: that alone fails
    awk -F '\t' -v OFS='\t' -v name="$2" '$1 == name { $2 = '"$3"' } { print }' "$work/same" \
        > "$work/moved"
    check "$1" gives 1 measured "$work/moved"
    check "$1, by name" grep -qF "FAIL $2: " "$work/out"
    check "$1, alone" test "$(grep -c '^FAIL' "$work/out")" = 1
}
moves 'twice the perplexity' 'mini-2.89-tuned perplexity' '2 * $2'
moves 'half of it' 'mini-2.89-tuned perplexity' '$2 / 2'
moves 'no number' 'mini-2.89-tuned perplexity' '"nan"'
moves 'nothing' 'mini-2.89-tuned kl' '"null"'
moves 'a tenth more divergence' 'mini-2.89-tuned kl' '1.1 * $2'
moves 'a larger file' 'mini-2.89-tuned bytes' '$2 + 1'
moves 'another file' 'sha256 datasets/embedded/mini-2.89-tuned.rbe' '"0" substr($2, 2)'
moves 'another profile' 'sha256 convert/profiles/mini-2.89.profile' '"0" substr($2, 2)'
moves 'another recipe' 'sha256 train/profiles/default.profile' '"0" substr($2, 2)'
moves 'a matrix at a third of a bit' 'cut bits of 0 h.0.attn.c_attn 768 x 256' '0.3'
moves 'a worse search' 'white 512x64 fast seed 44 dB' '$2 + 0.05'
moves 'a conversion that loses twice' 'cut kl' '2 * $2'
grep -v '^mini-2.89-tuned perplexity' "$work/same" > "$work/moved"
check 'a figure that is gone' gives 1 measured "$work/moved"
check 'is named' grep -q '^FAIL mini-2.89-tuned perplexity: not measured' "$work/out"
{ cat "$work/same"; printf 'sha256 convert/profiles/new.profile\tabc\n'; } > "$work/moved"
check 'a file that is new' gives 1 measured "$work/moved"
check 'is named' grep -q '^FAIL sha256 convert/profiles/new.profile: .* not recorded' "$work/out"

# Recorded on purpose: the new value, the old tolerance, and where it comes from.
cp "$here/ci/expected.jsonl" "$work/expected.jsonl"
sed 's/^\(mini-2.89-tuned kl\t\).*/\10.5/' "$work/same" > "$work/moved"
check 'records' gives 0 env EXPECTED="$work/expected.jsonl" "$here/ci/expected.sh" \
    --measured "$work/moved" --record
check 'and says what it moved' grep -q '^> mini-2.89-tuned kl: 0.5$' "$work/out"
check 'nothing else' test "$(grep -c '^>' "$work/out")" = 1
check 'with its tolerance' test \
    "$(jq -r 'select(.figure == "mini-2.89-tuned kl") | "\(.value) \(.within)"' \
        "$work/expected.jsonl")" = "0.5 $(jq -r 'select(.figure == "mini-2.89-tuned kl") | .within' \
        "$here/ci/expected.jsonl")"
check 'and keeps what takes minutes' test \
    "$(jq -c 'select(.set == "whole")' "$work/expected.jsonl" | sha256sum)" = \
    "$(jq -c 'select(.set == "whole")' "$here/ci/expected.jsonl" | sha256sum)"
check 'then passes' gives 0 env EXPECTED="$work/expected.jsonl" "$here/ci/expected.sh" \
    --measured "$work/moved"
check 'an unknown option' gives 2 expected --fast
finish
