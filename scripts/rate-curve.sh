#!/usr/bin/env bash
# rate-curve.sh [--record] - perplexity against size for every codec, before and after training.
#
# SPDX-License-Identifier: MIT
#
# Environment:
#   RBE_BIN   folder with the programs (default: the release build)
#   RESULTS   where rows, models and the page go (default: results/rate)
#   MODEL     the original (default: the embedded rbe-mini)
#   TEXT      (default: the embedded WikiText-103 test)
#   WINDOWS   of the text, from its beginning; as many as `make report` takes (default: 60)
#   SEEDS     profiles of the seed points (default: mini-2.25 mini-2.89 mini-3.25 mini-4.0)
#   TRAINED   models after recovery training (default: those that ship and
#             RESULTS/models/*-tuned.rbe)
#   TOKENS    train every seed point on so many tokens into RESULTS/models/*-tuned.rbe
#   TUNE      options of rbe tune for that (default: --profile scales-text --evaluations 4, and
#             --bf16 where the CPU has it)
#   PARTS     profiles that encode a part of the model, the chapter's phases among them
#             (default: phase1 phase2 phase3 hybrid-architecture)
#   RATIOS    of hybrid and low rank (default: "4 8 11")
#   OPTIONS   more options of rbe convert for the seed points (say --search fast)
#   THREADS   (default: all CPUs)
#   QUICK=1   one seed point, fast search, one window, few codecs: a rehearsal
# Converts and trains what is not there yet, measures perplexity, the time for a token (seeds and
# parts) and every codec at the chapter's ratios, and makes RESULTS/page/index.html.  Delete RESULTS
# to begin anew.  With --record the rows are kept in reports/recorded/rate-curve.jsonl,
# which ships, and which `make report` shows as recorded.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
'' | --record) record=${1:-} ;;
*)
    echo "${0##*/}: unexpected argument '$1'; its first lines say what it takes" >&2
    exit 2
    ;;
esac
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
results=${RESULTS:-results/rate}
model=${MODEL:-datasets/embedded/rbe-mini}
text=${TEXT:-datasets/embedded/wiki.test.raw}
threads=(--threads "${THREADS:-$(nproc)}")
read -ra seeds <<< "${SEEDS:-mini-2.25 mini-2.89 mini-3.25 mini-4.0}"
read -ra parts <<< "${PARTS:-phase1 phase2 phase3 hybrid-architecture}"
read -ra ratios <<< "${RATIOS:-4 8 11}"
read -ra options <<< "${OPTIONS:-}"
bf16=''
! grep -qsw avx512_bf16 /proc/cpuinfo || bf16=--bf16
read -ra tune <<< "${TUNE:---profile scales-text --evaluations 4 $bf16}"
windows=${WINDOWS:-60}
packed=packed128 codecs=() times=()
if [ -n "${QUICK:-}" ]; then
    seeds=(seed-b44) parts=() ratios=(11) options=(--search fast --no-calibration) windows=1
    packed='' codecs=(--sample 1 --ratios 8) times=(--tokens 4 --retries 0)
fi
models=$results/models
mkdir -p "$models"

every=(--model "$model") rows=()
# convert NAME [OPTION...]: the model and its row, if they are not there.
convert() {
    local out=$models/$1.rbe row=$models/$1.jsonl
    shift
    if [ ! -s "$out" ] || [ ! -s "$row" ]; then
        rm -f "$out" "$row"
        rbe convert "$model" "$out" "${threads[@]}" --quiet --json "$row" "$@" > "${out%.rbe}.log"
    fi
}
# add NAME [OPTION...]: converted, and a point of the curve.
add() {
    convert "$@"
    every+=(--model "$models/$1.rbe") rows+=("$models/$1.jsonl")
}
for p in "${seeds[@]}" "${parts[@]}"; do add "$p" --profile "$p" "${options[@]}"; done
timed=("${every[@]}")
add int8 --profile int8
add int4 --profile int4
for r in "${ratios[@]}"; do
    printf 'wpe codec=f16\nother codec=f16\nall codec=hybrid block=64 ratio=%s\n' "$r" \
        > "$models/hybrid-$r.profile"
    add "hybrid-$r" --profile "$models/hybrid-$r.profile"
    add "svd-$r" --codec f16 --low-rank "$r"
done
if [ -n "$packed" ]; then
    printf 'wpe codec=f16\nother codec=f16\nall codec=packed128 block=16\n' \
        > "$models/packed128.profile"
    add packed128 --profile "$models/packed128.profile"
fi

for p in "${seeds[@]}"; do
    if [ -z "${TOKENS:-}" ] || [ -s "$models/$p-tuned.rbe" ]; then continue; fi
    rm -f "$models/$p-tuned.jsonl"
    rbe tune "$model" "$models/$p.rbe" "$models/$p-tuned.rbe" "${threads[@]}" --quiet \
        --tokens "$TOKENS" --out-json "$models/$p-tuned.jsonl" "${tune[@]}"
done
shopt -s nullglob
trained=("$models"/*-tuned.rbe)
[ "$model" != datasets/embedded/rbe-mini ] || trained+=(datasets/embedded/*-tuned.rbe)
[ -z "${TRAINED+x}" ] || read -ra trained <<< "$TRAINED"
for m in "${trained[@]}"; do
    every+=(--model "$m")
    [ ! -s "${m%.rbe}.jsonl" ] || rows+=("${m%.rbe}.jsonl")
done

rm -f "$results/perplexity.jsonl"
rbe eval perplexity "${every[@]}" "${threads[@]}" --text "$text" --protocol P1 \
    --windows "$windows" --quiet --out "$results/perplexity.jsonl" > "$results/perplexity.log"
rm -f "$results/inference.jsonl"
rbe eval inference "${timed[@]}" "${threads[@]}" --depths 0,128 --quiet \
    "${times[@]}" --out "$results/inference.jsonl" > "$results/inference.log"
if [ ! -s "$results/codecs.jsonl" ]; then
    rbe codecs "$model" "${threads[@]}" "${codecs[@]}" --quiet --json "$results/codecs.jsonl" \
        > "$results/codecs.log"
fi
# A row with the perplexity of each window is for other readers.
mkdir -p "$results/rows"
{
    cat "${rows[@]}"
    grep '"kind":"paired"' "$results/perplexity.jsonl"
    cat "$results/inference.jsonl" "$results/codecs.jsonl"
} > "$results/rows/rate-curve.jsonl"
rbe report "$results/rows" --out "$results/page" > "$results/page.log"
echo "rows: $results/rows/rate-curve.jsonl; plots: $results/page/plots/rate.svg, rate_all.svg"
if [ -n "$record" ]; then
    mkdir -p reports/recorded
    cp "$results/rows/rate-curve.jsonl" reports/recorded/rate-curve.jsonl
    echo "recorded: reports/recorded/rate-curve.jsonl"
fi
