#!/usr/bin/env bash
# twin.sh - models, exports, tokenizers and evaluations against transformers and lm-eval
#
# SPDX-License-Identifier: MIT
#
# The packages (some 1 GB) go into a virtual environment of their own, $BUILDROOT/ci/twin, or
# TWIN_ENV, which is taken as it is when it is there.  TEXTS=N takes as many random texts, SEED=N
# replays them, SHARED says where the data are that do not ship.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
env=${TWIN_ENV:-$BUILDROOT/ci/twin}
arch=$(${CC:-gcc} -dumpmachine)
bin=$BUILDROOT/${arch%%-*}-release/bin
packages=(torch==2.13.0 transformers==5.24.0 tokenizers==0.23.3 gguf==0.19.0 accelerate==1.15.0
          lm_eval==0.4.13 datasets==5.2.0 unicodedata2==16.0.0)

if [ ! -x "$env/bin/python" ] || [ -z "${TWIN_ENV:-}" ]; then
    if ! { python3 -m venv "$env" && "$env/bin/pip" install -q "${packages[@]}"; }; then
        echo "the Python packages ${packages[*]} cannot be installed"
        exit 77
    fi
fi
make -s -f Makefile -f ci/workers.mk -j"$(nproc)" programs "$bin/tokens-worker" \
    "$bin/twin-worker" || exit 1
"$env/bin/python" ci/twin.py "$bin" ci/twin-differences.txt "$@"
