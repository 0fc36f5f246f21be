#!/usr/bin/env bash
# harness.sh - rbe-serve scored by lm-evaluation-harness' local-completions, beside rbe eval
#
# SPDX-License-Identifier: MIT
#
# The packages go into a virtual environment, $BUILDROOT/ci/harness, or HARNESS_ENV, which is taken
# as it is when it is there.  ITEMS=N takes so many items of each task (40).
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
env=${HARNESS_ENV:-$BUILDROOT/ci/harness}
arch=$(${CC:-gcc} -dumpmachine)
bin=$BUILDROOT/${arch%%-*}-release/bin
packages=('lm_eval[api]==0.4.13' transformers==5.24.0 datasets==5.2.0)

if [ ! -x "$env/bin/python" ] || [ -z "${HARNESS_ENV:-}" ]; then
    if ! { python3 -m venv "$env" && "$env/bin/pip" install -q "${packages[@]}"; }; then
        echo "the Python packages ${packages[*]} cannot be installed"
        exit 77
    fi
fi
make -s -j"$(nproc)" programs || exit 1
"$env/bin/python" ci/harness.py "$bin" "${ITEMS:-40}"
