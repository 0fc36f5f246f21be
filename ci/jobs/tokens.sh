#!/usr/bin/env bash
# tokens.sh - token ids of 100,000 random texts and of every character against Hugging Face's
#
# SPDX-License-Identifier: MIT
#
# tokenizers 0.23.3 has the categories of Unicode 16.0, as model/unicode.def; another version of
# it may differ in letters that are new.  Each way of cutting texts into words is compared, with
# the vocabulary that ships and, where ../shared has it, with that of SmolLM2's GGUF file.
# TEXTS=N takes as many texts instead, and not every character below 100,000; SEED=N the same
# texts again.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
python=$BUILDROOT/ci/python
arch=$(${CC:-gcc} -dumpmachine)
worker=$BUILDROOT/${arch%%-*}-release/bin/tokens-worker

packages=(tokenizers==0.23.3 unicodedata2==16.0.0 gguf)
real=${RBE_SHARED:-../shared}/data/models/smollm2-135m-instruct/SmolLM2-135M-Instruct.Q4_1.gguf
if ! { python3 -m venv "$python" && "$python/bin/pip" install -q "${packages[@]}"; }; then
    echo "the Python packages ${packages[*]} cannot be installed"
    exit 77
fi
[ -r "$real" ] || { echo "SKIP the vocabulary of a GGUF file: no $real"; real=; }
make -s -f Makefile -f ci/workers.mk -j"$(nproc)" "$worker" || exit 1
"$python/bin/python" scripts/unicode-table.py | diff - model/unicode.def ||
    { echo 'FAIL model/unicode.def is not what scripts/unicode-table.py makes'; exit 1; }
"$python/bin/python" ci/tokens.py "$worker" datasets/embedded/rbe-mini "${TEXTS:-100000}" \
    "${SEED:-$RANDOM}" ${real:+"$real"}
