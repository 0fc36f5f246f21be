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
#   LAMBADA HELLASWAG WINOGRANDE BLIMP   data of the comprehension tasks (default: LAMBADA only)
#   WINDOWS   windows of P2, P3, P4 and of the divergence (default: 40; 0: all)
#   THREADS   (default: all CPUs)
set -eu
cd "$(dirname "$0")/.."
export PATH=${RBE_BIN:-build/$(gcc -dumpmachine | cut -d- -f1)-release/bin}:$PATH
results=${RESULTS:-results}
model=${MODEL:-datasets/embedded/rbe-mini}
profile=${PROFILE:-mini-2.89}
rbe_model=${RBE:-$results/models/$profile.rbe}
common=(--threads "${THREADS:-$(nproc)}" --out "$results/eval.jsonl")
part=(--windows "${WINDOWS:-40}")
mkdir -p "$results/models"
[ -f "$rbe_model" ] || rbe convert "$model" "$rbe_model" --profile "$profile"
pair=(--model "$model" --model "$rbe_model")
texts=()
for t in ${TEXTS:-}; do texts+=(--text "$t"); done

rbe eval perplexity "${pair[@]}" "${common[@]}" --protocol P1
rbe eval perplexity "${pair[@]}" "${common[@]}" --protocol P2,P3,P4 "${part[@]}"
[ ${#texts[@]} = 0 ] || rbe eval perplexity "${pair[@]}" "${common[@]}" "${texts[@]}"
rbe eval divergence "${pair[@]}" "${common[@]}" "${part[@]}"
rbe eval inference "${pair[@]}" "${common[@]}"
rbe eval edge "${pair[@]}" --out "$results/eval.jsonl"
rbe eval conversation "${pair[@]}" "${common[@]}"
rbe eval generation "${pair[@]}" "${common[@]}" --prompts 24
tasks=("lambada=${LAMBADA:-datasets/embedded/lambada_test.jsonl}")
[ -f "${tasks[0]#*=}" ] || tasks=()
[ -z "${HELLASWAG:-}" ] || tasks+=("hellaswag=$HELLASWAG")
[ -z "${WINOGRANDE:-}" ] || tasks+=("winogrande=$WINOGRANDE")
[ -z "${BLIMP:-}" ] || tasks+=("blimp=$BLIMP")
[ ${#tasks[@]} = 0 ] || rbe eval comprehension "${pair[@]}" "${common[@]}" --limit 200 "${tasks[@]}"
echo "rows: $results/eval.jsonl"
