#!/usr/bin/env bash
# check_damaged.sh - damaged codes of an RBE model are noticed by every command that runs it.
#
# SPDX-License-Identifier: MIT
#
# RBE_BIN names the folder with the programs.
cd "$(dirname "$0")/../.." || exit 1
. test/lib.sh
export RBE_DATA=$PWD/datasets/embedded
rbe=${RBE_BIN:?names the folder with the programs}/rbe
bad=$work/bad.rbe
head -c 4000 "$RBE_DATA/wiki.test.raw" > "$work/text"
cp "$RBE_DATA/mini-2.89-tuned.rbe" "$bad"
chmod u+w "$bad"
# In the middle of the file lie codes.
byte=$(od -An -tu1 -j 2000000 -N 1 "$bad")
printf "\\x$(printf %x $((byte ^ 16)))" | dd of="$bad" bs=1 seek=2000000 conv=notrunc status=none

# refused COMMAND...: exit 1, one line that says why, nothing printed, no row written.
refused() {
    gives 1 "$@" && one_line "bad.rbe: tensor '.*.codes': the checksum does not match" &&
        [ ! -s "$work/out" ] && [ ! -s "$work/rows" ]
}

check 'generate' refused "$rbe" generate "$bad" --prompt 'The river' --tokens 3
check 'and on several threads' refused "$rbe" generate "$bad" --tokens 3 --threads 2
echo 'What is a river?' > "$work/question"
check 'chat' refused bash -c "exec '$rbe' chat --model '$bad' < '$work/question'"
eval_() { "$rbe" eval "$@" --quiet --out "$work/rows"; }
check 'perplexity' refused eval_ perplexity --model "$bad" --text "$work/text" --context 64
check 'divergence' refused eval_ divergence --model "$RBE_DATA/rbe-mini" --model "$bad" \
    --text "$work/text"
check 'comprehension' refused eval_ comprehension --model "$bad" --limit 2 \
    "lambada=$RBE_DATA/lambada_test.jsonl"
if limits_hold "$rbe"; then
    check 'edge: no limit is to blame' refused eval_ edge --model "$bad" --tokens 4 --threads 2
fi
check 'inference' refused eval_ inference --model "$bad" --tokens 4 --prompt 8 --depths 0
check 'info, when asked' refused "$rbe" info --verify "$bad"
check 'tune' refused "$rbe" tune "$RBE_DATA/rbe-mini" "$bad" "$work/rows" --tokens 100

check 'unverified: generate' gives 0 "$rbe" generate "$bad" --tokens 3 --no-verify
check 'unverified: perplexity' gives 0 eval_ perplexity --model "$bad" --text "$work/text" \
    --context 64 --windows 1 --no-verify
rm -f "$work/rows"
if limits_hold "$rbe"; then
    check 'unverified: in a process of its own' gives 0 eval_ edge --model "$bad" --tokens 4 \
        --no-verify
    check 'which runs' grep -q '"passed":true' "$work/rows"
fi
finish
