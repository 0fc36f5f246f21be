#!/usr/bin/env bash
#SBATCH --job-name=rbe-eval
#SBATCH --array=1-16
#SBATCH --cpus-per-task=2
#SBATCH --mem=4G
#SBATCH --time=02:00:00
# eval-slurm.sh PARTS EVALUATION [OPTION...] - one shard of an evaluation per array task.
#
# SPDX-License-Identifier: MIT
#
#   jobs=$(sbatch --parsable scripts/eval-slurm.sh parts perplexity --model A --model B)
#   sbatch --dependency=afterok:$jobs --wrap 'rbe merge --out p1.jsonl parts/*.jsonl'
#
# rbe must be on the PATH of the nodes, PARTS on a shared file system.  A task that was
# requeued goes on where it stopped (not the sequences of inference).
set -eu
parts=$1 what=$2
shift 2
mkdir -p "$parts"
out=$parts/$SLURM_ARRAY_TASK_ID.jsonl
resume=()
if [ -s "$out" ] && [ "$what" != inference ]; then
    resume=(--resume)
fi
exec rbe eval "$what" "$@" "${resume[@]}" --quiet --threads "$SLURM_CPUS_PER_TASK" \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --out "$out"
