#!/usr/bin/env bash
# rate-curve.sh - perplexity against size for every codec: seed, hybrid, packed128, int8, int4, SVD.
#
# SPDX-License-Identifier: MIT
#
# Environment:
#   RBE_BIN   folder with the programs (default: the release build)
#   RESULTS   where rows, models and the plot go (default: results)
#   MODEL     the original (default: the embedded rbe-mini)
#   TEXT      (default: the embedded WikiText-103 test)
#   WINDOWS   of the text, from its beginning (default: 30)
#   SEEDS     profiles of the seed points (default: mini-2.25 mini-2.89 mini-3.25 mini-4.0)
#   RATIOS    of hybrid and SVD (default: "4 8 11")
#   OPTIONS   more options of rbe convert for the seed points (say --no-calibration)
#   THREADS   (default: all CPUs)
# Writes RESULTS/rate.jsonl (rows of kind paired, one a model), rate.tsv and rate.svg.  Models
# that are there already are not converted again.
set -eu
cd "$(dirname "$0")/.."
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
results=${RESULTS:-results}
model=${MODEL:-datasets/embedded/rbe-mini}
text=${TEXT:-datasets/embedded/wiki.test.raw}
threads=(--threads "${THREADS:-$(nproc)}")
read -ra seeds <<< "${SEEDS:-mini-2.25 mini-2.89 mini-3.25 mini-4.0}"
read -ra ratios <<< "${RATIOS:-4 8 11}"
read -ra options <<< "${OPTIONS:-}"
models=$results/models
mkdir -p "$models"
rm -f "$results/rate.jsonl"

names=() codecs=()
# add CODEC NAME [OPTION...]
add() {
    local codec=$1 name=$2
    shift 2
    names+=("$name") codecs+=("$codec")
    if [ ! -s "$models/$name.rbe" ] || [ ! -s "$models/$name.log" ]; then
        rbe convert "$model" "$models/$name.rbe" "${threads[@]}" -q "$@" > "$models/$name.log"
    fi
}
for p in "${seeds[@]}"; do add seed "$p" --profile "$p" "${options[@]}"; done
add int8 int8 --profile int8
add int4 int4 --profile int4
for r in "${ratios[@]}"; do
    printf 'wpe codec=f16\nother codec=f16\nall codec=hybrid block=64 ratio=%s\n' "$r" \
        > "$models/hybrid-$r.profile"
    add hybrid "hybrid-$r" --profile "$models/hybrid-$r.profile"
    add svd "svd-$r" --codec f16 --low-rank "$r"
done
printf 'wpe codec=f16\nother codec=f16\nall codec=packed128 block=16\n' > "$models/packed128.profile"
add packed128 packed128 --profile "$models/packed128.profile"

every=(--model "$model")
for n in "${names[@]}"; do every+=(--model "$models/$n.rbe"); done
rbe eval perplexity "${every[@]}" "${threads[@]}" --text "$text" --windows "${WINDOWS:-30}" -q \
    --out "$results/rate.jsonl"

# codec, bits a parameter, perplexity.  SVD counts as its factors would: the file holds products.
field() { sed -n "s/.*\"$1\":\([0-9.eE+-]*\).*/\1/p"; }
{
    printf '# codec\tbits_per_parameter\tperplexity\n'
    for i in "${!names[@]}"; do
        row=$(grep '"kind":"paired"' "$results/rate.jsonl" |
            grep -F "\"path\":\"${names[i]}.rbe\"" | tail -n 1)
        bits=$(sed -n 's/.* bytes, \([0-9.]*\) bits a parameter$/\1/p' "$models/${names[i]}.log")
        [ "${codecs[i]}" = svd ] ||
            bits=$(sed -n 's/^file: .*: \([0-9.]*\) bits a parameter$/\1/p' "$models/${names[i]}.log")
        printf '%s\t%s\t%s\n' "${codecs[i]}" "$bits" "$(field perplexity <<< "$row")"
    done
} > "$results/rate.tsv"
f32=$(grep '"kind":"paired"' "$results/rate.jsonl" | tail -n 1 | field base_perplexity)
gnuplot -e "in='$results/rate.tsv'; out='$results/rate.svg'; f32=$f32; \
    what='$(basename "$model"), first ${WINDOWS:-30} windows of $(basename "$text"), P1'" \
    reports/rate-curve.gp
column -t -s "$(printf '\t')" "$results/rate.tsv"
echo "f32: $f32; rows: $results/rate.jsonl; plot: $results/rate.svg"
