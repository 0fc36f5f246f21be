#!/usr/bin/env bash
# tokens.sh - token ids of 100,000 random texts and of every character against Hugging Face's
#
# SPDX-License-Identifier: MIT
#
# tokenizers 0.23.3 has the categories of Unicode 16.0, as model/unicode.def; another version of
# it may differ in letters that are new.  TEXTS=N takes as many texts instead, and not every
# character below 100,000.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
python=$BUILDROOT/ci/python
arch=$(${CC:-gcc} -dumpmachine)
worker=$BUILDROOT/${arch%%-*}-release/bin/tokens-worker

packages=(tokenizers==0.23.3 unicodedata2==16.0.0)
if ! { python3 -m venv "$python" && "$python/bin/pip" install -q "${packages[@]}"; }; then
    echo "the Python packages ${packages[*]} cannot be installed"
    exit 77
fi
make -s -f Makefile -f ci/workers.mk -j"$(nproc)" "$worker" || exit 1
"$python/bin/python" scripts/unicode-table.py | diff - model/unicode.def ||
    { echo 'FAIL model/unicode.def is not what scripts/unicode-table.py makes'; exit 1; }
"$python/bin/python" ci/tokens.py "$worker" datasets/embedded/rbe-mini "${TEXTS:-100000}"
