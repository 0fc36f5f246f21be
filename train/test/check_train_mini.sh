#!/usr/bin/env bash
# check_train_mini.sh - the script that makes the shipped model: stopped it goes on to the same
# bytes, and it says whether they are those that ship.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)
script=$root/scripts/train-mini.sh shipped=$root/datasets/embedded/mini-2.89-tuned

check 'no folder' refuses 2 'wants a folder' "$script"
check 'an empty name' refuses 2 'wants a folder' "$script" ''
check 'an option' refuses 2 'wants a folder' "$script" --help
# What is there is taken, and compared.
mkdir "$work/same" "$work/other"
for to in same other; do
    echo made up > "$work/$to/mini-2.89.rbe"
    cp "$shipped.rbe" "$shipped.jsonl" "$work/$to"
done
printf x >> "$work/other/mini-2.89-tuned.rbe"
check 'the same' "$script" "$work/same" > "$work/out"
check 'says so' grep -q 'the same bytes as datasets/embedded/mini-2.89-tuned.rbe$' "$work/out"
check 'another' refuses 1 'other bytes than .*, made on .*(sse41.*; here: .*(sse41' \
    "$script" "$work/other"

export CONVERT='-q --search fast --no-calibration --even'
short='-q --valid-windows 1 --evaluations 0 --micro 1'
make_it() { # FOLDER TOKENS [OPTION]
    TOKENS=$2 TUNE="$short ${3:-}" "$script" "$work/$1" > "$work/out" 2> "$work/err"
}
make_it whole 2048
if grep -q 'no bf16 products' "$work/err"; then
    echo "     no bf16 products here: training is not tried"
    finish
    exit
fi
check 'the whole' test -s "$work/whole/mini-2.89-tuned.rbe"
check 'its row' test "$(jq -r '"\(.tokens) \(.profile) \(.bf16)"' \
    "$work/whole/mini-2.89-tuned.jsonl")" = '2048 scales-text true'
make_it cut 2048 '--stop-after 1'
check 'stopped' test ! -e "$work/cut/mini-2.89-tuned.rbe"
check 'what is left' test -s "$work/cut/mini-2.89-tuned.checkpoint"
check 'goes on' make_it cut 2048
check 'to the same bytes' cmp "$work/whole/mini-2.89-tuned.rbe" "$work/cut/mini-2.89-tuned.rbe"
check 'nothing is left' test ! -e "$work/cut/mini-2.89-tuned.checkpoint"
finish
