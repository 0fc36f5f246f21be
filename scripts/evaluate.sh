#!/usr/bin/env bash
# evaluate.sh - everything rbe eval measures, original against RBE.  `make eval` calls it.
#
# SPDX-License-Identifier: MIT
#
# Environment (make passes its variables on):
#   RBE_BIN   folder with the programs
#   RESULTS   where the rows go: eval.jsonl (default: results)
#   MODEL     the original (default: the embedded rbe-mini)
#   RBE       the RBE model (default: RESULTS/models/PROFILE.rbe, converted when missing)
#   PROFILE   (default: mini-2.89)
#   TEXTS     more texts for perplexity, separated by spaces
#   DATA      folder of fetched data (default: data, else $RBE_SHARED/data, else ../shared/data)
#   LAMBADA HELLASWAG WINOGRANDE BLIMP   data of the comprehension tasks (default: LAMBADA as
#             shipped, the others where DATA has them; what is not there is left out)
#   WINDOWS   windows of P2, P3, P4, of other texts and of the divergence (default: 40; 0: all)
#   ITEMS     items of a comprehension task (default: 200; 0: all), of BLiMP a tenth per file
#   PROMPTS   of the generation quality (default: the program's)
#   SEQUENCES of 512 tokens, of the long mode (default: 100; 0: leave it out)
#   QUICK=1   few windows, items, turns and prompts: a rehearsal, marked incomplete by its rows
#   QUIET=1   no progress
#   THREADS   (default: all CPUs)
#
# An evaluation that fails does not keep the others from running: the last line names those
# that did, and the exit status is 1.
set -eu
cd "$(dirname "$0")/.."
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
results=${RESULTS:-results}
model=${MODEL:-datasets/embedded/rbe-mini}
profile=${PROFILE:-mini-2.89}
rbe_model=${RBE:-$results/models/$profile.rbe}
windows=${WINDOWS:-40} items=${ITEMS:-200} prompts=${PROMPTS:-}
sequences=${SEQUENCES:-100} long=()
first=() times=() turns=()      # of P1, of inference, of the conversation
if [ -n "${QUICK:-}" ]; then
    windows=2 items=10 prompts=4
    sequences=${SEQUENCES:-2} long=(--length 24 --prompt 16)
    first=(--windows 2) times=(--tokens 8 --retries 0) turns=(--turns 3)
fi
common=(--threads "${THREADS:-$(nproc)}" --out "$results/eval.jsonl")
[ -z "${QUIET:-}" ] || common+=(--quiet)
part=(--windows "$windows")
mkdir -p "$results/models"
[ -f "$rbe_model" ] || rbe convert "$model" "$rbe_model" --profile "$profile"
pair=(--model "$model" --model "$rbe_model")

data=${DATA:-}
for folder in data "${RBE_SHARED:-../shared}/data"; do
    [ -n "$data" ] || [ ! -d "$folder" ] || data=$folder
done

# find_data PATH...: prints the first that is there, unpacked into RESULTS/data when it must be.
find_data() {
    local f to
    for f; do
        f=$data/$f
        to=$results/data/$(basename "${f%.*}")
        if [ -z "$data" ] || [ ! -f "$f" ]; then continue; fi
        mkdir -p "$results/data"
        case $f in
        *.xz) { [ -s "$to" ] || xz -dc "$f" > "$to"; } 2> /dev/null || continue ;;
        *.zip) unzip -qjn "$f" 'data/*.jsonl' -d "$to" 2> /dev/null || continue ;;
        *) to=$f ;;
        esac
        echo "$to"
        return
    done
}
hellaswag=${HELLASWAG:-$(find_data hellaswag/hellaswag_val.jsonl \
    hellaswag/hellaswag_val_full.txt{,.xz})}
winogrande=${WINOGRANDE:-$(find_data winogrande/dev.jsonl)}
blimp=${BLIMP:-$(find_data blimp/BLiMP.zip)}
lambada=${LAMBADA:-datasets/embedded/lambada_test.jsonl}

failed=()
# step NAME EVALUATION...: runs it.  An interrupt is for everything: the program saves what it
# has, and nothing more is begun.
step() {
    local name=$1 rc=0
    shift
    rbe eval "$@" || rc=$?
    [ $rc = 0 ] || failed+=("$name")
    if [ -n "$interrupted" ]; then
        echo "$0: interrupted at $name" >&2
        exit 130
    fi
}
interrupted=
trap 'interrupted=1' INT TERM
both=("${pair[@]}" "${common[@]}")

texts=(--text datasets/embedded/wiki.valid.raw)
[ ! -f "$lambada" ] || texts+=(--text "$lambada")
for t in ${TEXTS:-}; do texts+=(--text "$t"); done
tasks=()
[ ! -f "$lambada" ] || tasks+=("lambada=$lambada")
[ -z "$hellaswag" ] || tasks+=("hellaswag=$hellaswag")
[ -z "$winogrande" ] || tasks+=("winogrande=$winogrande")

step perplexity-P1 perplexity "${both[@]}" --protocol P1 "${first[@]}"
step perplexity-P2-P4 perplexity "${both[@]}" --protocol P2,P3,P4 "${part[@]}"
step perplexity-texts perplexity "${both[@]}" "${texts[@]}" "${part[@]}"
step divergence divergence "${both[@]}" "${part[@]}"
step inference inference "${both[@]}" "${times[@]}"
[ "$sequences" = 0 ] ||
    step sequences inference "${both[@]}" --sequences "$sequences" "${long[@]}"
step edge edge "${pair[@]}" --out "$results/eval.jsonl"
step conversation conversation "${both[@]}" "${turns[@]}"
step generation generation "${both[@]}" ${prompts:+--prompts "$prompts"}
[ ${#tasks[@]} = 0 ] || step comprehension comprehension "${both[@]}" --limit "$items" \
    "${tasks[@]}"
[ -z "$blimp" ] || step blimp comprehension "${both[@]}" --limit $(((items + 9) / 10)) \
    "blimp=$blimp"
echo "rows: $results/eval.jsonl"
if [ ${#failed[@]} -gt 0 ]; then
    echo "$0: failed: ${failed[*]}" >&2
    exit 1
fi
