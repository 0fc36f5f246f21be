#!/usr/bin/env bash
# train-mini.sh FOLDER - makes the model that ships, datasets/embedded/mini-2.89-tuned.rbe, again.
#
# SPDX-License-Identifier: MIT
#
# Converts the embedded rbe-mini by the profile mini-2.89-train, trains it on the shipped text,
# and says whether the bytes are those of the shipped file.  They are where the CPU has the bf16
# products that it was made with (AVX512_BF16 or AMX; docs/TUNING.md); another gives another
# model, about as good.
#
# FOLDER    what is made: mini-2.89-train.rbe, mini-2.89-tuned.rbe and their rows (.jsonl);
#           what is there from an interrupted run is taken
# Environment:
#   RBE_BIN   folder with the programs (default: the release build)
#   THREADS   (default: all CPUs; the bytes do not depend on it)
#   TOKENS    of training (default: as many as the shipped model had)
set -eu
cd "$(dirname "$0")/.."
[ $# = 1 ] || {
    echo "${0##*/}: needs one folder; its first lines say more" >&2
    exit 2
}
folder=$1
