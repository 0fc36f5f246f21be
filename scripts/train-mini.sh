#!/usr/bin/env bash
# train-mini.sh FOLDER - makes the RBE model that ships, datasets/embedded/mini-2.89-tuned.rbe,
# again.
#
# SPDX-License-Identifier: MIT
#
# Converts the embedded rbe-mini by the profile mini-2.89, trains it on the text that ships, and
# says whether the bytes are those of the shipped file.  They are on CPUs of the class that made
# it (its row, beside it, names the machine); others round sums in another order and give a model
# that is about as good.  What an interrupted run left in FOLDER is taken.
#
# Environment:
#   RBE_BIN   folder with the programs (default: the release build)
#   TOKENS    of training (default: as many as the shipped model had)
#   CONVERT   more options of rbe convert, TUNE of rbe tune: then it is another model
# Exit status: 0 the same bytes, or as TOKENS, CONVERT or TUNE wanted it; 1 other bytes, or a
# step failed; 2 usage.
set -eu
cd "$(dirname "$0")/.."
if [ $# != 1 ] || [ -z "$1" ] || [ "${1#-}" != "$1" ]; then
    echo "train-mini.sh: wants a folder; see the head of scripts/train-mini.sh" >&2
    exit 2
fi
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
folder=$1 mini=datasets/embedded/rbe-mini shipped=datasets/embedded/mini-2.89-tuned
read -ra convert <<< "${CONVERT:-}"
read -ra tune <<< "${TUNE:-}"
mkdir -p "$folder"

# Not by all CPUs: what a sum is rounded to depends on the number of threads.
start=$folder/mini-2.89.rbe made=$folder/mini-2.89-tuned
if [ ! -s "$start" ]; then
    rbe convert "$mini" "$start" --profile mini-2.89 --threads 2 \
        --json "$folder/mini-2.89.jsonl" "${convert[@]}"
fi
resume=()
[ ! -s "$made.checkpoint" ] || resume=(--resume)
if [ ! -s "$made.rbe" ]; then
    rbe tune "$mini" "$start" "$made.rbe" --profile scales-text --bf16 --threads 2 \
        --tokens "${TOKENS:-2000000}" --evaluations 8 --checkpoint "$made.checkpoint" \
        "${resume[@]}" --out-json "$made.jsonl" "${tune[@]}"
fi
[ -z "${TOKENS:-}${CONVERT:-}${TUNE:-}" ] || exit 0

# machine FILE: that made its row.
machine() {
    sed -n 's/.*"cpu":"\([^"]*\)".*"isa":"\([^"]*\)".*/\1 (\2)/p' "$1" | tail -n 1
}
if cmp -s "$made.rbe" "$shipped.rbe"; then
    echo "$made.rbe: the same bytes as $shipped.rbe"
else
    echo "$made.rbe: other bytes than $shipped.rbe, made on $(machine "$shipped.jsonl");" \
        "here: $(machine "$made.jsonl")" >&2
    exit 1
fi
