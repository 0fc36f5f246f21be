#!/usr/bin/env bash
# train-mini.sh [FOLDER] - makes datasets/embedded/mini-2.89-tuned.rbe again, from what ships.
#
# SPDX-License-Identifier: MIT
#
# Environment:
#   RBE_BIN   folder with the programs (default: the release build)
#   TOKENS    to train on (default: what the model that ships was trained on)
#   THREADS   (default: all CPUs)
#   RECORD=1  put the model and the row of its training where they ship
# Encodes rbe-mini with the profile mini-2.89-train, trains it on the shipped text, and compares
# the file with the one that ships.  The bytes are the same on CPUs with the same vector units
# (sums of floats are taken in another order by others): the row of the training names them.
# FOLDER (default: results/tuned) keeps both files and a checkpoint; run again after a stop.
set -eu
cd "$(dirname "$0")/.."
if [ $# -gt 1 ] || [ "${1:0:1}" = - ]; then
    echo "${0##*/}: want one folder; the first lines of this script say what it does" >&2
    exit 2
fi
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
folder=${1:-results/tuned}
shipped=datasets/embedded/mini-2.89-tuned
threads=(--threads "${THREADS:-$(nproc)}")
tokens=${TOKENS:-$(jq .tokens "$shipped.jsonl")}
new=$folder/mini-2.89-tuned
mkdir -p "$folder"
[ -f "$folder/mini-2.89-train.rbe" ] ||
    rbe convert rbe-mini "$folder/mini-2.89-train.rbe" --profile mini-2.89-train "${threads[@]}"
resume=()
[ ! -f "$new.ck" ] || resume=(--resume)
rm -f "$new.jsonl"
rbe tune datasets/embedded/rbe-mini "$folder/mini-2.89-train.rbe" "$new.rbe" --bf16 \
    --tokens "$tokens" --evaluations 8 --checkpoint "$new.ck" ${resume[@]+"${resume[@]}"} \
    --out-json "$new.jsonl" "${threads[@]}"
if [ -n "${RECORD:-}" ]; then
    cp "$new.rbe" "$shipped.rbe.new"
    mv "$shipped.rbe.new" "$shipped.rbe"
    cp "$new.jsonl" "$shipped.jsonl"
fi
if cmp -s "$new.rbe" "$shipped.rbe"; then
    echo "$new.rbe: the bytes of the model that ships"
else
    echo "$new.rbe: not the bytes of the model that ships, which was made by" \
        "$(jq -r .machine.isa "$shipped.jsonl")"
    exit 1
fi
